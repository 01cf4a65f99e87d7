/* Counting the instructions of a call, in the process that is counted and in the one that counts. */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else /* then callgrind collects nothing */
#define CALLGRIND_TOGGLE_COLLECT
#define CALLGRIND_DUMP_STATS
#endif

extern void *PyObject_CallObject(void *callable, void *arguments);

/* For callgrind: it collects within the call and writes a dump after it. */
void *collected(void *callable)
{
    CALLGRIND_TOGGLE_COLLECT;
    void *result = PyObject_CallObject(callable, 0);
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS;
    return result;
}

/* For a tracer that executes `count`: the call lies between two signals. */
void *stepped(void *callable)
{
    kill(getpid(), SIGUSR1);
    void *result = PyObject_CallObject(callable, 0);
    kill(getpid(), SIGUSR1);
    return result;
}

void trace_me(void) { ptrace(PTRACE_TRACEME, 0, 0, 0); }

/* In the tracer: lets `process` run to its next call and counts the instructions; -1 at the end of the process. */
long count(pid_t process)
{
    int status;
    do {
        if (ptrace(PTRACE_CONT, process, 0, 0) != 0 || waitpid(process, &status, 0) < 0 || !WIFSTOPPED(status))
            return -1;
    } while (WSTOPSIG(status) != SIGUSR1);
    for (long steps = 0;; steps++) {
        if (ptrace(PTRACE_SINGLESTEP, process, 0, 0) != 0 || waitpid(process, &status, 0) < 0 || !WIFSTOPPED(status))
            return -1;
        if (WSTOPSIG(status) == SIGUSR1) return steps;
    }
}
