/* What the processor can do at most: byte dot products in registers, reading and copying memory.
 *
 * Each exported function works for about `seconds` on the calling thread and returns a rate. The loops are written
 * in GCC's assembly, so that no compiler keeps an accumulator in memory or leaves a load out. Elsewhere peak() returns
 * 0, "unknown", and plain C reads and copies. Repeated TEXT has the register's number where it says \\r.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define REPEATS 64
#define REPEAT(REGISTERS, TEXT) ".rept 64\n.irp r," REGISTERS "\n" TEXT "\n.endr\n.endr\n"
#define SIX "0,1,2,3,4,5"
#define TWELVE SIX ",6,7,8,9,10,11"
#define TWENTY_FOUR TWELVE ",12,13,14,15,16,17,18,19,20,21,22,23"

struct product {
    const char *level;
    void (*run)(void);
    double macs; /* of one run */
};

#if defined(__x86_64__) && defined(__GNUC__)
#define VECTORS                                                                                                        \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",         \
        "xmm13", "xmm14", "xmm15"

static void amx(void)
{
    uint8_t config[64] = {1}; /* palette 1: eight tiles of 16 rows of 64 bytes */
    for (int i = 0; i < 8; i++) config[16 + 2 * i] = 64, config[48 + i] = 16;
    __asm__ volatile("ldtilecfg %0\n" REPEAT(SIX, "tdpbusd %%tmm7,%%tmm6,%%tmm\\r") "tilerelease" ::"m"(config));
}

static void avx512vnni(void)
{
    __asm__ volatile(REPEAT(TWENTY_FOUR, "vpdpbusd %%zmm30,%%zmm31,%%zmm\\r") "vzeroupper" ::: VECTORS);
}

static void avxvnni(void)
{
    __asm__ volatile(REPEAT(TWELVE, "%{vex%} vpdpbusd %%ymm14,%%ymm15,%%ymm\\r") "vzeroupper" ::: VECTORS);
}

/* Of bytes widened to 16 bits beforehand: pairs of products, and their sums on the accumulator. */
static void avx2(void)
{
    __asm__ volatile(REPEAT(TWELVE, "vpmaddwd %%ymm14,%%ymm15,%%ymm13\nvpaddd %%ymm13,%%ymm\\r,%%ymm\\r")
                     "vzeroupper" ::: VECTORS);
}

static void baseline(void)
{
    __asm__ volatile(REPEAT(TWELVE, "movdqa %%xmm14,%%xmm13\npmaddwd %%xmm15,%%xmm13\npaddd %%xmm13,%%xmm\\r")
                     ::: VECTORS);
}

static const struct product products[] = {
    {"amx", amx, REPEATS * 6 * 16 * 16 * 64}, {"avx512vnni", avx512vnni, REPEATS * 24 * 64},
    {"avxvnni", avxvnni, REPEATS * 12 * 32},  {"avx2", avx2, REPEATS * 12 * 16},
    {"baseline", baseline, REPEATS * 12 * 8},
};

#define READ(MOVE, R, STEP)                                                                                            \
    __asm__ volatile("1:\n" MOVE " (%0),%%" R "0\n" MOVE " " #STEP "(%0),%%" R "1\n" MOVE " 2*" #STEP "(%0),%%" R "2\n"  \
                     MOVE " 3*" #STEP "(%0),%%" R "3\nadd $4*" #STEP ",%0\ncmp %1,%0\njb 1b"                           \
                     : "+r"(from) : "r"(end) : "memory", "cc", VECTORS)
#define COPY(MOVE, R, STEP)                                                                                            \
    __asm__ volatile("1:\n" MOVE " (%0),%%" R "0\n" MOVE " " #STEP "(%0),%%" R "1\n" MOVE " %%" R "0,(%1)\n"           \
                     MOVE " %%" R "1," #STEP "(%1)\nadd $2*" #STEP ",%0\nadd $2*" #STEP ",%1\ncmp %2,%0\njb 1b"        \
                     : "+r"(from), "+r"(to) : "r"(end) : "memory", "cc", VECTORS)

static void read_once(const uint8_t *from, size_t bytes, int width)
{
    const uint8_t *end = from + bytes;
    if (width == 64) READ("vmovdqu64", "zmm", 64);
    else if (width == 32) READ("vmovdqu", "ymm", 32);
    else READ("movdqu", "xmm", 16);
    if (width > 16) __asm__ volatile("vzeroupper" ::: VECTORS);
}

static void copy_once(uint8_t *to, const uint8_t *from, size_t bytes, int width)
{
    const uint8_t *end = from + bytes;
    if (width == 64) COPY("vmovdqu64", "zmm", 64);
    else if (width == 32) COPY("vmovdqu", "ymm", 32);
    else COPY("movdqu", "xmm", 16);
    if (width > 16) __asm__ volatile("vzeroupper" ::: VECTORS);
}

#else
#if defined(__aarch64__) && defined(__GNUC__)
#define VECTORS                                                                                                        \
    "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16",       \
        "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v28", "v30", "v31"

static void neon(void)
{
    __asm__ volatile(REPEAT(TWENTY_FOUR, "smull v28.8h,v30.8b,v31.8b\nsadalp v\\r\\().4s,v28.8h")::: VECTORS);
}

static void neondot(void)
{
    __asm__ volatile(".arch_extension dotprod\n" REPEAT(TWENTY_FOUR, "sdot v\\r\\().4s,v30.16b,v31.16b")::: VECTORS);
}

static void i8mm(void)
{
    __asm__ volatile(".arch_extension i8mm\n" REPEAT(TWENTY_FOUR, "usmmla v\\r\\().4s,v30.16b,v31.16b")::: VECTORS);
}

static const struct product products[] = {
    {"neon", neon, REPEATS * 24 * 8}, {"neondot", neondot, REPEATS * 24 * 16}, {"i8mm", i8mm, REPEATS * 24 * 32},
};
#else
static const struct product products[] = {{"", 0, 0}};
#endif

static void read_once(const uint8_t *from, size_t bytes, int width)
{
    uint64_t sums[8] = {0}, words[8];
    for (size_t i = 0; i < bytes; i += sizeof words) {
        memcpy(words, from + i, sizeof words);
        for (int j = 0; j < 8; j++) sums[j] += words[j];
    }
    for (int j = 1; j < 8; j++) sums[0] += sums[j];
    volatile uint64_t keep = sums[0];
    (void)keep, (void)width;
}

static void copy_once(uint8_t *to, const uint8_t *from, size_t bytes, int width)
{
    (void)width;
    memcpy(to, from, bytes);
}
#endif

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* Multiply-adds a second of a level's byte dot product with independent accumulators. */
double peak(const char *level, double seconds)
{
    const struct product *p = products, *end = products + sizeof products / sizeof *products;
    while (p < end && strcmp(p->level, level) != 0) p++;
    if (p == end) return 0;
#if defined(__linux__) && defined(__x86_64__)
    if (strcmp(level, "amx") == 0 && syscall(SYS_arch_prctl, 0x1023 /* ask for */, 18 /* tile data */) != 0) return 0;
#endif
    double start = now(), passed, done = 0;
    do {
        for (int i = 0; i < 16; i++) p->run();
        done += 16 * p->macs;
        passed = now() - start;
    } while (passed < seconds);
    return done / passed;
}

/* Bytes read a second, over and over the same `bytes` (a multiple of 256), in vectors of `width` bytes. */
double reading(const uint8_t *from, size_t bytes, int width, double seconds)
{
    double start = now(), passed, done = 0;
    do {
        for (size_t i = 0; i < 1 << 20; i += bytes, done += bytes) read_once(from, bytes, width);
        passed = now() - start;
    } while (passed < seconds);
    return done / passed;
}

/* Bytes read and written a second: a byte that is copied counts as two. */
double copying(uint8_t *to, const uint8_t *from, size_t bytes, int width, double seconds)
{
    double start = now(), passed, done = 0;
    do {
        for (size_t i = 0; i < 1 << 20; i += bytes, done += 2.0 * bytes) copy_once(to, from, bytes, width);
        passed = now() - start;
    } while (passed < seconds);
    return done / passed;
}
