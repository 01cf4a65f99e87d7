/* Run-time detection of processor features: CPUID and XGETBV on x86-64, the auxiliary vector, sysctl or
 * IsProcessorFeaturePresent on aarch64. A feature counts only if the operating system saves the registers it uses. */
#ifndef QUANTNN_CPU_H
#define QUANTNN_CPU_H

#include <string.h>

#define QN_TEXT_(x) #x
#define QN_TEXT(x) QN_TEXT_(x)

static inline const char *qn_compiler(void)
{
#if defined(__clang__)
    return "Clang " __clang_version__;
#elif defined(__GNUC__)
    return "GCC " __VERSION__;
#elif defined(_MSC_VER)
    return "MSVC " QN_TEXT(_MSC_FULL_VER);
#else
    return "unknown";
#endif
}

static inline int qn_openmp(void)
{
#ifdef _OPENMP
    return _OPENMP;
#else
    return 0;
#endif
}

#if defined(__x86_64__) || defined(_M_X64)

#ifdef _MSC_VER
#include <intrin.h>
static inline void qn_cpuid(int leaf, int sub, unsigned r[4]) { __cpuidex((int *)r, leaf, sub); }
static inline unsigned long long qn_xcr0(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static inline void qn_cpuid(int leaf, int sub, unsigned r[4]) { __cpuid_count(leaf, sub, r[0], r[1], r[2], r[3]); }
static inline unsigned long long qn_xcr0(void)
{
    unsigned lo, hi;
    __asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return ((unsigned long long)hi << 32) | lo;
}
#endif

#ifdef __APPLE__
#include <sys/sysctl.h>
/* macOS sets the AVX-512 bits of XCR0 only once a thread has used them; the system itself must be asked. */
static inline int qn_apple_avx512(void)
{
    int on = 0;
    size_t size = sizeof on;
    return sysctlbyname("hw.optional.avx512f", &on, &size, NULL, 0) == 0 && on;
}
#endif

/* Linux gives a process the tile registers only when it asks for them. */
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
static inline int qn_may_use_tiles(void)
{
    return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* XFEATURE_XTILEDATA */) == 0;
}
#else
static inline int qn_may_use_tiles(void) { return 0; }
#endif

/* One row per feature: CPUID leaf, sub-leaf, register (0 eax, 1 ebx, 2 ecx, 3 edx), bit, and the register state that
 * the system has to save (0 none, 1 AVX, 2 AVX-512, 3 AMX). */
typedef struct { const char *name; unsigned leaf, sub; int reg, bit, state; } qn_feature;

static inline int qn_has(const char *feature)
{
    static const qn_feature table[] = {
        {"fma", 1, 0, 2, 12, 1},          {"movbe", 1, 0, 2, 22, 0},        {"f16c", 1, 0, 2, 29, 1},
        {"avx2", 7, 0, 1, 5, 1},          {"bmi1", 7, 0, 1, 3, 0},          {"bmi2", 7, 0, 1, 8, 0},
        {"lzcnt", 0x80000001u, 0, 2, 5, 0}, {"avxvnni", 7, 1, 0, 4, 1},     {"avx512f", 7, 0, 1, 16, 2},
        {"avx512dq", 7, 0, 1, 17, 2},     {"avx512cd", 7, 0, 1, 28, 2},     {"avx512bw", 7, 0, 1, 30, 2},
        {"avx512vl", 7, 0, 1, 31, 2},     {"avx512vnni", 7, 0, 2, 11, 2},   {"amxtile", 7, 0, 3, 24, 3},
        {"amxint8", 7, 0, 3, 25, 3},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const qn_feature *f = &table[i];
        unsigned r[4], highest;
        if (strcmp(feature, f->name) != 0)
            continue;
        qn_cpuid((int)(f->leaf & 0x80000000u), 0, r);
        highest = r[0];
        if (f->leaf > highest)
            return 0;
        if (f->sub > 0) {
            qn_cpuid((int)f->leaf, 0, r);
            if (f->sub > r[0])
                return 0;
        }
        qn_cpuid((int)f->leaf, (int)f->sub, r);
        if (!(r[f->reg] >> f->bit & 1))
            return 0;
        if (f->state > 0) {
            qn_cpuid(1, 0, r);
            if (!(r[2] >> 27 & 1)) /* OSXSAVE */
                return 0;
            if ((qn_xcr0() & 0x6) != 0x6)
                return 0;
        }
        if (f->state == 3)
            return (qn_xcr0() & 0x60000) == 0x60000 && qn_may_use_tiles();
#ifdef __APPLE__
        return f->state < 2 || qn_apple_avx512();
#else
        return f->state < 2 || (qn_xcr0() & 0xe6) == 0xe6;
#endif
    }
    return 0;
}

#elif defined(__aarch64__) || defined(_M_ARM64)

#if defined(__linux__)
#include <sys/auxv.h>
static inline int qn_has(const char *feature)
{
    if (strcmp(feature, "dotprod") == 0)
        return (getauxval(AT_HWCAP) >> 20 & 1) != 0; /* HWCAP_ASIMDDP */
    if (strcmp(feature, "i8mm") == 0)
        return (getauxval(AT_HWCAP2) >> 13 & 1) != 0; /* HWCAP2_I8MM */
    return 0;
}
#elif defined(__APPLE__)
#include <sys/sysctl.h>
static inline int qn_has(const char *feature)
{
    int on = 0;
    size_t size = sizeof on;
    const char *name = strcmp(feature, "dotprod") == 0 ? "hw.optional.arm.FEAT_DotProd"
                     : strcmp(feature, "i8mm") == 0    ? "hw.optional.arm.FEAT_I8MM"
                                                       : NULL;
    return name != NULL && sysctlbyname(name, &on, &size, NULL, 0) == 0 && on;
}
#elif defined(_WIN32)
#include <windows.h>
static inline int qn_has(const char *feature)
{
    if (strcmp(feature, "dotprod") == 0)
        return IsProcessorFeaturePresent(43) != 0; /* PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE */
    if (strcmp(feature, "i8mm") == 0)
        return IsProcessorFeaturePresent(66) != 0; /* PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE */
    return 0;
}
#else
static inline int qn_has(const char *feature) { (void)feature; return 0; }
#endif

#else
static inline int qn_has(const char *feature) { (void)feature; return 0; }
#endif

#endif
