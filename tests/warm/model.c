#include "tests/warm/model.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY_FOLDER "/dev/shm"

struct warm_model *warm_new(uint32_t keys_count)
{
    struct warm_model *model =
        mmap(NULL, sizeof(*model), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(model != MAP_FAILED && keys_count <= WARM_KEYS_MAX);
    model->keys_count = keys_count;
    return model;
}

void warm_free(struct warm_model *model)
{
    (void)munmap(model, sizeof(*model));
}

uint32_t warm_random(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % below);
}

size_t warm_key(uint32_t key, char out[WARM_KEY_BYTES_MAX])
{
    static const char *const prefixes[] = {"user:profile:", "sess_", "counter/", "page:html:"};
    return (size_t)snprintf(out, WARM_KEY_BYTES_MAX, "%s%u", prefixes[key % 4], key);
}

static size_t draw_bytes(uint64_t *state)
{
    switch (warm_random(state, 64)) {
    case 0:
        return warm_random(state, WARM_VALUE_BYTES_MAX - 100);
    case 1:
    case 2:
        return 3000 + warm_random(state, 6000);
    case 3:
        return 0;
    default:
        return warm_random(state, 500);
    }
}

/* Half of the values compress. */
size_t warm_value(uint32_t key, uint32_t version, char *out)
{
    uint64_t state = (uint64_t)key << 32 | version;
    size_t head = (size_t)sprintf(out, "{\"key\":%u,\"version\":%u,\"of\":\"", key, version);
    size_t bytes = draw_bytes(&state);
    for (size_t i = 0; i < bytes; i += sizeof(state)) {
        uint64_t drawn = state;
        (void)warm_random(&state, 1);
        if ((key & 4) == 0)
            drawn = (drawn >> 40 & 0x0303030303030303u) + 0x6161616161616161u;
        memcpy(out + head + i, &drawn, bytes - i < sizeof(drawn) ? bytes - i : sizeof(drawn));
    }
    return head + bytes;
}

uint32_t warm_flags(uint32_t version)
{
    return version % 3 == 0 ? version * 7 : 0;
}

bool warm_expires(uint32_t version)
{
    return version % 5 == 0;
}

uint32_t warm_begin(struct warm_model *model, uint32_t key, bool removal)
{
    struct warm_key *known = &model->keys[key];
    /* Versions go on over removals: those are the odd ones out of a count in the high bits. */
    uint32_t last = atomic_load(&known->acked);
    uint32_t next = (last | 1u) + 1u;
    if (removal)
        next = last | 1u;
    atomic_store(&known->under_way, next);
    return next;
}

void warm_done(struct warm_model *model, uint32_t key)
{
    struct warm_key *known = &model->keys[key];
    atomic_store(&known->acked, atomic_load(&known->under_way));
    (void)atomic_fetch_add_explicit(&model->requests, 1, memory_order_relaxed);
}

static bool is_item(uint32_t version)
{
    return version != 0 && version % 2 == 0;
}

void warm_gone(struct warm_model *model)
{
    for (uint32_t key = 0; key < model->keys_count; key++) {
        struct warm_key *known = &model->keys[key];
        atomic_store(&known->under_way, atomic_load(&known->acked) | 1u);
        atomic_store(&known->acked, atomic_load(&known->under_way));
    }
}

static bool is_version(uint32_t key, uint32_t version, const void *value, size_t bytes,
                       uint32_t flags)
{
    static char expected[WARM_VALUE_BYTES_MAX + 100];
    return is_item(version) && flags == warm_flags(version) &&
           warm_value(key, version, expected) == bytes && memcmp(expected, value, bytes) == 0;
}

/* What an item says of its version; is_version() then knows whether it lies. */
static uint32_t version_said(const void *value, size_t bytes)
{
    char head[64] = "";
    unsigned key = 0, version = 0;
    memcpy(head, value, bytes < sizeof(head) - 1 ? bytes : sizeof(head) - 1);
    return sscanf(head, "{\"key\":%u,\"version\":%u", &key, &version) == 2 ? version : 0;
}

void warm_judge(struct warm_model *model, uint32_t key, const void *value, size_t bytes,
                uint32_t flags, bool expired, struct warm_verdict *verdict)
{
    struct warm_key *known = &model->keys[key];
    uint32_t acked = atomic_load(&known->acked), under_way = atomic_load(&known->under_way);
    uint32_t found = acked > under_way ? acked : under_way; /* never to be given again */
    bool may_be_gone = !is_item(acked) || !is_item(under_way) || atomic_load(&model->flushing) != 0;
    bool due = expired && (warm_expires(acked) || warm_expires(under_way));
    verdict->items += !may_be_gone && !due;
    if (value == NULL) {
        found |= 1u;
    } else {
        uint32_t said = version_said(value, bytes);
        verdict->back += !may_be_gone && !due;
        if (!is_version(key, said, value, bytes, flags))
            verdict->wrong++;
        else if ((said != acked && said != under_way) || (expired && warm_expires(said)))
            verdict->resurrected++;
        else
            found = said;
    }
    atomic_store(&known->acked, found);
    atomic_store(&known->under_way, found);
}

void warm_path(char path[WARM_PATH_BYTES])
{
    const char *folder = getenv("TEST_TMPDIR");
    if (access(MEMORY_FOLDER, W_OK) == 0)
        folder = MEMORY_FOLDER;
    (void)snprintf(path, WARM_PATH_BYTES, "%s/zbcached.XXXXXX", folder != NULL ? folder : P_tmpdir);
    int fd = mkstemp(path);
    assert(fd >= 0);
    /* Only the name is wanted; process ids are not unique, as sandboxes count their own. */
    (void)close(fd);
    (void)unlink(path);
}
