#include "tests/sim/sim.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIXES_COUNT 5u
#define COUNTER_PREFIX 4u
#define WORDS_COUNT    40u

_Noreturn void sim_fail(const struct sim *sim, const char *file, int line, const char *what)
{
    fprintf(stderr,
            "%s:%d: does not hold: %s\nat operation %llu, second %u. Replay:\n"
            "ZBCACHED_TEST_SEED=%llu ZBCACHED_TEST_SEEDS=1 ZBCACHED_TEST_OPERATIONS=%llu "
            "bazel-bin/tests/sim/sim_test\n",
            file, line, what, (unsigned long long)sim->operation, sim->now_s,
            (unsigned long long)sim->seed, (unsigned long long)sim->operations);
    abort();
}

static uint64_t next(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return *random >> 33;
}

uint32_t sim_draw(struct sim *sim, uint32_t below)
{
    return (uint32_t)(next(&sim->random) % below);
}

/* ---- keys and values ---- */

/* Of 5 to 250 bytes: a prefix, a number, and what it takes to be longer. */
size_t sim_key(unsigned number, uint8_t *out)
{
    static const char *const PREFIXES[PREFIXES_COUNT] = {"user:", "session/", "k", "page.",
                                                         "counter_"};
    size_t longer = number % 50 == 7 ? 230 : number * 7 % 60;
    size_t bytes =
        (size_t)snprintf((char *)out, 32, "%s%u:", PREFIXES[number % PREFIXES_COUNT], number);
    if (bytes + longer > CACHE_KEY_BYTES_MAX)
        longer = CACHE_KEY_BYTES_MAX - bytes;
    memset(out + bytes, 'x', longer);
    return bytes + longer;
}

unsigned sim_key_number(const struct sim *sim, const uint8_t *key, size_t key_bytes)
{
    uint8_t own[CACHE_KEY_BYTES_MAX];
    size_t at = 0;
    unsigned number = 0;
    while (at < key_bytes && !isdigit(key[at]))
        at++;
    while (at < key_bytes && isdigit(key[at]))
        number = number * 10 + (unsigned)(key[at++] - '0');
    CHECK(sim, number < sim->keys);
    CHECK(sim, sim_key(number, own) == key_bytes && memcmp(own, key, key_bytes) == 0);
    return number;
}

static size_t value_size(struct sim *sim)
{
    switch (sim_draw(sim, 32)) {
    case 0:
        return sim_draw(sim, SIM_ITEM_MAX);
    case 1:
    case 2:
        return 3800 + sim_draw(sim, 500);
    case 3:
    case 4:
    case 5:
        return sim_draw(sim, 9000);
    case 6:
    case 7:
        return sim_draw(sim, 4);
    default:
        return 20 + sim_draw(sim, 600);
    }
}

/* Fields that a dictionary can learn; others in each era, and of each prefix. */
static void fill_fields(struct sim *sim, unsigned prefix, uint8_t *out, size_t bytes)
{
    size_t at = 0;
    while (at < bytes) {
        char field[64];
        unsigned word = sim->era * 1000 + prefix * 100 + sim_draw(sim, WORDS_COUNT);
        int length = snprintf(field, sizeof(field), "\"%x_%x_of_%x\":%u,", word * 2654435761u,
                              word * 40503u, word, sim_draw(sim, 1000));
        size_t part = (size_t)length < bytes - at ? (size_t)length : bytes - at;
        memcpy(out + at, field, part);
        at += part;
    }
}

static void fill_noise(struct sim *sim, uint8_t *out, size_t bytes)
{
    uint64_t random = sim->random;
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(next(&random) >> 16);
    sim->random = random;
}

static size_t print_number(struct sim *sim, uint8_t *out)
{
    static const char *const ODD[] = {"+7",  " 12", "5 ", "18446744073709551615",
                                      "0x1", "-3",  "99x"};
    char text[32];
    if (sim_chance(sim, 4))
        snprintf(text, sizeof(text), "%s", ODD[sim_draw(sim, 7)]);
    else
        snprintf(text, sizeof(text), "%u",
                 sim_draw(sim, 2) ? sim_draw(sim, 20) : sim_draw(sim, ~0u));
    memcpy(out, text, strlen(text));
    return strlen(text);
}

static size_t fill_value(struct sim *sim, unsigned prefix, uint8_t *out, size_t bytes)
{
    switch (sim_draw(sim, 6)) {
    case 0:
        fill_noise(sim, out, bytes);
        break;
    case 1:
        memset(out, 'a' + (int)sim_draw(sim, 26), bytes);
        break;
    default:
        fill_fields(sim, prefix, out, bytes);
        break;
    }
    return bytes;
}

size_t sim_value(struct sim *sim, unsigned number, uint8_t *out)
{
    unsigned prefix = number % PREFIXES_COUNT;
    if (prefix == COUNTER_PREFIX && !sim_chance(sim, 8))
        return print_number(sim, out);
    return fill_value(sim, prefix, out, value_size(sim));
}

size_t sim_large_value(struct sim *sim, unsigned number, uint8_t *out)
{
    size_t bytes = CACHE_PART_BYTES + sim_draw(sim, SIM_ITEM_MAX - CACHE_PART_BYTES);
    return fill_value(sim, number % PREFIXES_COUNT, out, bytes);
}

bool sim_number(const struct known *known, uint64_t *number)
{
    char text[256] = "", *end;
    size_t bytes = known->value_bytes < sizeof(text) - 1 ? known->value_bytes : sizeof(text) - 1;
    if (bytes > 0)
        memcpy(text, known->value, bytes);
    const char *from = text;
    while (isspace((unsigned char)*from))
        from++;
    if (*from == '+')
        from++;
    if (!isdigit((unsigned char)*from))
        return false;
    errno = 0;
    *number = strtoull(from, &end, 10);
    return errno == 0 && (end == text + bytes || isspace((unsigned char)*end));
}

/* ---- what is there ---- */

bool sim_alive(const struct sim *sim, const struct known *known)
{
    return known->state == STORED && known->expiry_s > sim->now_s;
}

void sim_put(struct sim *sim, struct known *known, const uint8_t *value, size_t bytes, uint64_t cas,
             bool own_cas)
{
    bool was = sim_alive(sim, known);
    sim->stored++;
    sim->fresh += !was;
    if (!was)
        known->throughout = false;
    uint8_t *copy = bytes > 0 ? malloc(bytes) : NULL;
    CHECK(sim, bytes == 0 || copy != NULL);
    if (bytes > 0)
        memcpy(copy, value, bytes);
    free(known->value);
    CHECK(sim, own_cas || cas > known->cas_high);
    known->value = copy;
    known->value_bytes = bytes;
    known->state = STORED;
    known->stored_s = sim->now_s;
    known->cas = cas;
    known->own_cas = own_cas;
    if (!own_cas)
        known->cas_high = cas;
}

void sim_remove(struct known *known)
{
    free(known->value);
    *known = (struct known){.cas_high = known->cas_high, .met = known->met};
}

void sim_flush(struct sim *sim)
{
    sim->flush_at_s = 0;
    for (unsigned i = 0; i < sim->keys; i++) {
        if (sim->known[i].state == STORED) {
            sim->known[i].state = FLUSHED;
            sim->known[i].throughout = false;
        }
    }
}

void sim_pass(struct sim *sim, uint32_t seconds)
{
    sim->now_s += seconds;
    if (sim->flush_at_s != 0 && sim->now_s >= sim->flush_at_s)
        sim_flush(sim);
}

/* ---- the observer ---- */

bool sim_wants_evicted(void *context)
{
    return context != NULL;
}

void sim_evicted(void *context, const struct cache_evicted *item, uint32_t now_s)
{
    struct sim *sim = context;
    struct known *known = &sim->known[sim_key_number(sim, item->key, item->key_bytes)];
    CHECK(sim, sim->config.evict);
    /* By the second of who makes room, which may be behind: then it was there at that time. */
    CHECK(sim, now_s < sim->now_s ? known->state != GONE : sim_alive(sim, known));
    CHECK(sim, item->value_bytes == known->value_bytes);
    CHECK(sim, item->expiry_s == known->expiry_s && item->expiry_s > now_s);
    CHECK(sim, now_s < known->stored_s || item->age_s <= now_s - known->stored_s);
    sim->evicted++;
    sim_remove(known);
}
