/*
 * resident_test.c - what the kernel counts as resident never exceeds what the arena counts.
 *
 * Read from /proc/self/smaps, the arena's address range only, so that a sanitizer's own memory does
 * not matter; in plain builds the whole process is compared too. The kernel's collapsing of small
 * pages into huge ones, which khugepaged does when it gets around to it, is asked for at each step
 * (MADV_COLLAPSE), so that nothing depends on waiting.
 */
#include "tests/instrumented.h"
#include "tests/zbud/check_zbud.h"
#include "zbud/arena.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define PAGE         ((size_t)ZBUD_PAGE_BYTES)
#define REGION       ((size_t)2 << 20)
#define PAGES        16384u
#define BYTES        (PAGES * PAGE)
#define LIMIT_BYTES  (BYTES - 9 * PAGE) /* no whole number of regions */
#define PROCESS_SLOP ((uint64_t)256 << 10)

struct scene {
    struct zbud_arena *arena;
    uint64_t process_before;
    uint64_t random;
    uint32_t pages[PAGES];
    size_t pages_count;
    uint64_t huge_bytes;
};

/* Sums a field of /proc/self/smaps over the mappings inside the range. */
static uint64_t range_bytes(uintptr_t from, uintptr_t to, const char *field, unsigned *mappings)
{
    FILE *smaps = fopen("/proc/self/smaps", "r");
    char line[512];
    uint64_t bytes = 0;
    bool inside = false;

    assert_non_null(smaps);
    *mappings = 0;
    while (fgets(line, sizeof(line), smaps) != NULL) {
        uintptr_t start, end;
        uint64_t kib;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2) {
            inside = start >= from && end <= to;
            *mappings += inside ? 1u : 0u;
        } else if (inside && strncmp(line, field, strlen(field)) == 0) {
            assert_int_equal(sscanf(line + strlen(field), ": %" SCNu64, &kib), 1);
            bytes += kib << 10;
        }
    }
    fclose(smaps);
    return bytes;
}

static uint64_t process_bytes(void)
{
    FILE *rollup = fopen("/proc/self/smaps_rollup", "r");
    char line[512];
    uint64_t kib = 0;

    assert_non_null(rollup);
    while (fgets(line, sizeof(line), rollup) != NULL && sscanf(line, "Rss: %" SCNu64, &kib) != 1)
        ;
    fclose(rollup);
    assert_true(kib != 0);
    return kib << 10;
}

/* Huge pages that the kernel has split, of all processes; 0 where it does not say. */
static uint64_t splits_ever(void)
{
    FILE *vmstat = fopen("/proc/vmstat", "r");
    char line[512];
    uint64_t splits = 0;

    assert_non_null(vmstat);
    while (fgets(line, sizeof(line), vmstat) != NULL &&
           sscanf(line, "thp_split_page %" SCNu64, &splits) != 1)
        ;
    fclose(vmstat);
    return splits;
}

static void compare(struct scene *scene, const char *phase)
{
    uintptr_t base = (uintptr_t)zbud_arena_page(scene->arena, 0);
    struct zbud_arena_figures figures;
    unsigned mappings;
    uint64_t resident, counted;

    /* Where the arena forbade it this fails, and where it did not it must do no harm. */
    for (size_t at = 0; at < BYTES; at += REGION)
        (void)madvise((void *)(base + at), REGION, MADV_COLLAPSE);
    resident = range_bytes(base, base + BYTES, "Rss", &mappings);
    scene->huge_bytes = range_bytes(base, base + BYTES, "AnonHugePages", &mappings);
    zbud_arena_figures(scene->arena, &figures);
    counted = (figures.pages_used + figures.pages_kept) * PAGE;
    print_message("%-34s resident %6" PRIu64 " KiB, counted %6" PRIu64 " KiB, huge %6" PRIu64
                  " KiB, %3u mappings\n",
                  phase, resident >> 10, counted >> 10, scene->huge_bytes >> 10, mappings);
    assert_true(mappings != 0);
    assert_true(resident <= counted);
    assert_true(counted + figures.charged_bytes + figures.table_bytes <= BYTES);
    if (!INSTRUMENTED)
        assert_true(process_bytes() <=
                    scene->process_before + counted + figures.table_bytes + PROCESS_SLOP);
}

static void take_all(struct scene *scene)
{
    uint32_t page;
    while (zbud_arena_take(scene->arena, &page) == ZBUD_OK) {
        memset(zbud_arena_page(scene->arena, page), (int)scene->pages_count | 1, PAGE);
        scene->pages[scene->pages_count++] = page;
    }
}

static void give_some(struct scene *scene, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t pick = (next_random(&scene->random) >> 20) % scene->pages_count;
        zbud_arena_give(scene->arena, scene->pages[pick]);
        scene->pages[pick] = scene->pages[--scene->pages_count];
    }
}

static struct scene *scene_new(size_t limit_bytes)
{
    struct scene *scene = calloc(1, sizeof(*scene));

    memset(scene->pages, 1, sizeof(scene->pages)); /* not to be counted as the arena's */
    scene->random = 88172645463325252u;
    (void)process_bytes(); /* what reading itself allocates */
    scene->process_before = process_bytes();
    scene->arena = zbud_arena_new(BYTES, limit_bytes);
    assert_non_null(scene->arena);
    return scene;
}

static void scene_free(struct scene *scene)
{
    zbud_arena_check(scene->arena);
    zbud_arena_free(scene->arena);
    free(scene);
}

static void never_above_the_count(void **state)
{
    struct scene *scene = scene_new(LIMIT_BYTES);
    uint64_t huge_regions, splits;

    (void)state;
    compare(scene, "new");
    while (zbud_arena_prepare(scene->arena, PAGES / 2))
        compare(scene, "made ready");
    take_all(scene);
    compare(scene, "filled");
    assert_true(scene->pages_count > PAGES - 32);
    give_some(scene, PAGES / 2);
    compare(scene, "half of it given, at random");
    huge_regions = scene->huge_bytes / REGION;
    splits = splits_ever();
    assert_int_equal(zbud_arena_charge(scene->arena, BYTES / 4), ZBUD_OK);
    /* Or what was given back would stay allocated behind the count. */
    splits = splits_ever() - splits;
    print_message("%" PRIu64 " huge pages, %" PRIu64 " split\n", huge_regions, splits);
    assert_true(splits + 2 >= huge_regions); /* a page somebody looks at just then is not split */
    compare(scene, "a quarter charged");
    take_all(scene);
    compare(scene, "refilled beside the charge");
    give_some(scene, PAGES / 2);
    zbud_arena_set_limit(scene->arena, BYTES / 2);
    (void)zbud_arena_trim(scene->arena, zbud_arena_excess(scene->arena));
    compare(scene, "limit halved, trimmed");
    assert_int_equal(zbud_arena_excess(scene->arena), 0);
    zbud_arena_uncharge(scene->arena, BYTES / 4);
    take_all(scene);
    compare(scene, "charge gone, refilled");
    zbud_arena_set_limit(scene->arena, LIMIT_BYTES);
    (void)zbud_arena_prepare(scene->arena, SIZE_MAX);
    compare(scene, "limit up again, some made ready");
    take_all(scene);
    compare(scene, "limit up again, refilled");
    give_some(scene, scene->pages_count);
    assert_true(zbud_arena_trim(scene->arena, SIZE_MAX) > PAGES - 32);
    compare(scene, "all given back");
    scene_free(scene);
}

/* Charges that come and go while a region is being filled must not find it huge and uncounted. */
static void near_the_limit_page_by_page(void **state)
{
    struct scene *scene = scene_new(3 * REGION);
    struct zbud_arena_figures figures;
    size_t charged = 0, most = 0;

    (void)state;
    for (unsigned turn = 0; turn < 400; turn++) {
        uint32_t page;
        size_t bytes = (next_random(&scene->random) >> 30) % (REGION / 2);

        for (unsigned i = 0; i < 40 && zbud_arena_take(scene->arena, &page) == ZBUD_OK; i++) {
            memset(zbud_arena_page(scene->arena, page), 1, PAGE);
            scene->pages[scene->pages_count++] = page;
        }
        most = scene->pages_count > most ? scene->pages_count : most;
        if (scene->pages_count > 1400)
            give_some(scene, 300);
        zbud_arena_uncharge(scene->arena, charged);
        charged = zbud_arena_charge(scene->arena, bytes) == ZBUD_OK ? bytes : 0;
        if (turn % 40 == 0)
            compare(scene, "charges come and go");
    }
    zbud_arena_figures(scene->arena, &figures);
    assert_true(figures.pages_returned > 0);
    assert_true(most > 2 * REGION / PAGE); /* into the region that never fits as a whole */
    zbud_arena_uncharge(scene->arena, charged);
    scene_free(scene);
}

/* With no mapping left to split, pages still go back: the whole range then gives up huge pages. */
static void goes_on_without_mappings(void **state)
{
    struct scene *scene = scene_new(LIMIT_BYTES);
    size_t crowd_bytes = (size_t)140000 * PAGE, used = 0;
    uint8_t *crowd = mmap(NULL, crowd_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t trimmed;

    (void)state;
    assert_true(crowd != MAP_FAILED);
    take_all(scene);
    give_some(scene, PAGES / 2);
    while (used < crowd_bytes && mprotect(crowd + used, PAGE, PROT_READ) == 0)
        used += 2 * PAGE;
    trimmed = zbud_arena_trim(scene->arena, 1000);
    munmap(crowd, crowd_bytes);
    print_message("%zu mappings made first\n", used / PAGE);
    assert_true(used < crowd_bytes); /* the system's limit was reached */
    assert_int_equal(trimmed, 1000);
    compare(scene, "trimmed without mappings");
    scene_free(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_above_the_count),
        cmocka_unit_test(near_the_limit_page_by_page),
        cmocka_unit_test(goes_on_without_mappings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
