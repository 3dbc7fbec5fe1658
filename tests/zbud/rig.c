#include "tests/zbud/rig.h"

#include "tests/zbud/check_zbud.h"

#include <stdlib.h>

int rig_set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    rig->arena = zbud_arena_new(PAGES * ZBUD_PAGE_BYTES, PAGES * ZBUD_PAGE_BYTES);
    rig->pool = zbud_pool_create(rig->arena);
    *state = rig;
    return rig->pool == NULL;
}

int rig_tear_down(void **state)
{
    struct rig *rig = *state;
    struct zbud_arena_figures figures;

    zbud_pool_check(rig->pool);
    zbud_pool_destroy(rig->pool);
    zbud_arena_check(rig->arena);
    zbud_arena_figures(rig->arena, &figures);
    assert_int_equal(figures.pages_used, 0);
    zbud_arena_free(rig->arena);
    free(rig);
    return 0;
}

void rig_remember(void *owner, struct zbud_handle handle)
{
    struct rig *rig = owner;

    assert_true(rig->seen_count < 2 * PAGES);
    rig->seen[rig->seen_count++] = handle;
}

struct zbud_pool_figures rig_figures(const struct rig *rig)
{
    struct zbud_pool_figures figures;
    zbud_pool_figures(rig->pool, &figures);
    return figures;
}
