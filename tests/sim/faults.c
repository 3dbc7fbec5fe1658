#include "tests/sim/faults.h"

#include "server/cache/dictionary.h"
#include "zbud/arena.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#define ZDICT_STATIC_LINKING_ONLY
#include <zdict.h>

static struct {
    bool armed;
    uint64_t random;
    uint64_t fail_at;
    uint64_t calls; /* since armed */
    uint64_t failed;
    unsigned one_in[FAULT_KINDS];
    uint64_t counts[FAULT_KINDS];
    int64_t blocks;
    int64_t mapped_bytes;
} faults;

void faults_seed(uint64_t seed)
{
    faults.random = seed;
    faults.fail_at = 0;
    for (unsigned i = 0; i < FAULT_KINDS; i++)
        faults.one_in[i] = 0;
}

void faults_rate(enum fault fault, unsigned one_in)
{
    faults.one_in[fault] = one_in;
}

void faults_fail_at(uint64_t nth)
{
    faults.fail_at = nth;
}

void faults_arm(void)
{
    faults.armed = true;
    faults.calls = 0;
    faults.failed = 0;
}

uint64_t faults_disarm(void)
{
    faults.armed = false;
    return faults.failed;
}

uint64_t faults_count(enum fault fault)
{
    return faults.counts[fault];
}

int64_t faults_blocks(void)
{
    return faults.blocks;
}

int64_t faults_mapped_bytes(void)
{
    return faults.mapped_bytes;
}

static bool fails(enum fault fault)
{
    if (!faults.armed)
        return false;
    faults.calls++;
    bool chosen = faults.calls == faults.fail_at;
    if (faults.one_in[fault] != 0) {
        faults.random = faults.random * 6364136223846793005u + 1442695040888963407u;
        chosen |= (faults.random >> 33) % faults.one_in[fault] == 0;
    }
    faults.failed += chosen;
    faults.counts[fault] += chosen;
    return chosen;
}

/* ---- the calls, and what the linker makes of them -------------------------------------------- */

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *block);
void __wrap_free(void *block);
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes);
int __real_madvise(void *at, size_t bytes, int advice);
int __wrap_madvise(void *at, size_t bytes, int advice);
enum zbud_status __real_zbud_arena_take(struct zbud_arena *arena, uint32_t *page);
enum zbud_status __wrap_zbud_arena_take(struct zbud_arena *arena, uint32_t *page);
enum zbud_status __real_zbud_arena_charge(struct zbud_arena *arena, size_t bytes);
enum zbud_status __wrap_zbud_arena_charge(struct zbud_arena *arena, size_t bytes);
size_t __real_ZDICT_trainFromBuffer_fastCover(void *out, size_t out_bytes, const void *samples,
                                              const size_t *sample_bytes, unsigned count,
                                              ZDICT_fastCover_params_t parameters);
size_t __wrap_ZDICT_trainFromBuffer_fastCover(void *out, size_t out_bytes, const void *samples,
                                              const size_t *sample_bytes, unsigned count,
                                              ZDICT_fastCover_params_t parameters);
unsigned __real_dictionaries_add(struct dictionaries *dictionaries,
                                 struct codec_dictionary *dictionary, const char *label,
                                 uint32_t added_s);
unsigned __wrap_dictionaries_add(struct dictionaries *dictionaries,
                                 struct codec_dictionary *dictionary, const char *label,
                                 uint32_t added_s);

static void *counted(void *block)
{
    faults.blocks += block != NULL;
    return block;
}

void *__wrap_malloc(size_t bytes)
{
    return fails(FAULT_HEAP) ? NULL : counted(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails(FAULT_HEAP) ? NULL : counted(__real_calloc(count, bytes));
}

void *__wrap_realloc(void *block, size_t bytes)
{
    if (block == NULL)
        return __wrap_malloc(bytes);
    return fails(FAULT_HEAP) ? NULL : __real_realloc(block, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return fails(FAULT_HEAP) ? NULL : counted(__real_aligned_alloc(alignment, bytes));
}

void __wrap_free(void *block)
{
    faults.blocks -= block != NULL;
    __real_free(block);
}

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *mapped = MAP_FAILED;
    if (fails(FAULT_MAP))
        errno = ENOMEM;
    else
        mapped = __real_mmap(at, bytes, protection, flags, fd, offset);
    if (mapped != MAP_FAILED)
        faults.mapped_bytes += (int64_t)bytes;
    return mapped;
}

int __wrap_munmap(void *at, size_t bytes)
{
    faults.mapped_bytes -= (int64_t)bytes;
    return __real_munmap(at, bytes);
}

int __wrap_madvise(void *at, size_t bytes, int advice)
{
    if (!fails(FAULT_ADVISE))
        return __real_madvise(at, bytes, advice);
    errno = EINVAL;
    return -1;
}

enum zbud_status __wrap_zbud_arena_take(struct zbud_arena *arena, uint32_t *page)
{
    return fails(FAULT_PAGE) ? ZBUD_NO_PAGE : __real_zbud_arena_take(arena, page);
}

enum zbud_status __wrap_zbud_arena_charge(struct zbud_arena *arena, size_t bytes)
{
    return fails(FAULT_CHARGE) ? ZBUD_NO_PAGE : __real_zbud_arena_charge(arena, bytes);
}

size_t __wrap_ZDICT_trainFromBuffer_fastCover(void *out, size_t out_bytes, const void *samples,
                                              const size_t *sample_bytes, unsigned count,
                                              ZDICT_fastCover_params_t parameters)
{
    if (fails(FAULT_TRAIN))
        return (size_t)-1;
    return __real_ZDICT_trainFromBuffer_fastCover(out, out_bytes, samples, sample_bytes, count,
                                                  parameters);
}

unsigned __wrap_dictionaries_add(struct dictionaries *dictionaries,
                                 struct codec_dictionary *dictionary, const char *label,
                                 uint32_t added_s)
{
    if (fails(FAULT_NUMBERS))
        return 0;
    return __real_dictionaries_add(dictionaries, dictionary, label, added_s);
}
