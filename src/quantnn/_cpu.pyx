"""What this processor and operating system offer, and what this build contains. Compiled for the lowest level."""

cdef extern from "cpu.h" nogil:
    int qn_has(const char *feature) noexcept
    const char *QUANTNN_LEVELS
    const char *qn_compiler() noexcept
    int qn_openmp() noexcept


def has(str feature):
    """Whether the processor has a feature (named as in _dispatch.LEVELS) and the system saves its registers."""
    cdef bytes name = feature.encode()
    return qn_has(name) != 0


def built_levels():
    """The instruction-set levels that this build has modules for, lowest first."""
    return tuple((<bytes>QUANTNN_LEVELS).decode().split(","))


def compiler():
    """The C compiler and its version."""
    return qn_compiler().decode()


def openmp():
    """The OpenMP version (such as 201511) that the kernels were compiled with, 0 without OpenMP."""
    return qn_openmp()
