/* A bounded cache of freed blocks of memory, for outputs.
 *
 * malloc gives large blocks back to the system, and then every page of the next output faults. Here a freed block waits in
 * a slot of its size class for the next output of that class. A slot changes by one atomic exchange, so that neither
 * threads nor a fork need a lock. A class has SLOTS blocks at most, all classes together LIMIT bytes.
 *
 * The classes of [2**k, 2**(k + 1)) are eight, equally apart: a block is at most an eighth larger than asked for.
 */
#ifndef QUANTNN_BUFFERS_H
#define QUANTNN_BUFFERS_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define qn_exchange(p, v) _InterlockedExchangePointer((p), (v))
#define qn_fill(p, v) (_InterlockedCompareExchangePointer((p), (v), NULL) == NULL)
#define qn_sum(p, v) (_InterlockedExchangeAdd64((p), (v)) + (v))
#define qn_peek(p) (*(p))
#else
#define qn_exchange(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
static inline int qn_fill(void *volatile *p, void *v)
{
    void *none = NULL;
    return __atomic_compare_exchange_n(p, &none, v, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}
#define qn_sum(p, v) __atomic_add_fetch((p), (v), __ATOMIC_RELAXED)
#define qn_peek(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#endif

enum {
    QN_LEAST = 1 << 15, /* smaller outputs are NumPy's: malloc keeps their memory itself */
    QN_MOST = 1 << 25,  /* and larger ones, whose page faults weigh little beside their work */
    QN_LIMIT = 1 << 26,
    QN_ALIGN = 64,
    QN_CLASSES = 8 * (25 - 15) + 1,
    QN_SLOTS = 8
};

static void *volatile qn_slots[QN_CLASSES][QN_SLOTS];
static volatile int64_t qn_cached;

/* The class of n bytes, QN_LEAST to QN_MOST, and its size. */
static int qn_class(size_t n, size_t *size)
{
    int k = 15 - 3;
    while (n > (size_t)16 << k)
        k++;
    n = ((n - 1) >> k) + 1;
    *size = n << k;
    return (k - (15 - 3)) * 8 + (int)n - 8;
}

static void *qn_take(size_t n)
{
    size_t size;
    int c = qn_class(n, &size);
    for (int i = 0; i < QN_SLOTS; i++) {
        void *block = qn_peek(&qn_slots[c][i]) != NULL ? qn_exchange(&qn_slots[c][i], NULL) : NULL;
        if (block != NULL) {
            qn_sum(&qn_cached, -(int64_t)size);
            return block;
        }
    }
    return PyMem_RawMalloc(size + QN_ALIGN);
}

static void qn_give(void *block, size_t n)
{
    size_t size;
    int c = qn_class(n, &size);
    if (qn_sum(&qn_cached, (int64_t)size) <= QN_LIMIT)
        for (int i = 0; i < QN_SLOTS; i++)
            if (qn_peek(&qn_slots[c][i]) == NULL && qn_fill(&qn_slots[c][i], block))
                return;
    qn_sum(&qn_cached, -(int64_t)size);
    PyMem_RawFree(block);
}

#endif
