/*
 * stats.h - what the server says about itself, a section at a time.
 *
 *   counters --.
 *   cache    --+--> snapshot --> the section's table, row by row --> emit(name, value)
 *   config   --'
 *
 * Each section is a table: a row's name, where its value comes from, and whether it is shown. The
 * names of memcached's sections are memcached's, in memcached's order; what has no meaning here is
 * 0. The section "zbud" is our own, each name saying what it counts; so are "hotkeys" and
 * "prefixes", whose lines are of a key or a prefix each: "key=user%3A17 requests_per_s=9.5 ...".
 *
 * Invariants:
 *   STATS-1  a section has the same names in the same order at every call with the same
 *            configuration, but for "conns" (a connection each), "hotkeys", "prefixes" and
 *            "items", "slabs" (only while there are items).
 *   STATS-2  zbud: pages_total = pages_free + pages_buddied + pages_unbuddied + pages_large +
 *            pages_index + pages_expiry, whenever nobody is storing meanwhile.
 *   STATS-3  nothing but stats_reset() changes anything.
 *   STATS-4  stats_explain() names every line that the section "zbud" can have, and no other.
 *
 * Threads: any number, once stats_set_conns() was called; one lock inside, held for copies only.
 */
#ifndef SERVER_ADMIN_STATS_H
#define SERVER_ADMIN_STATS_H

#include <stdbool.h>
#include <stdint.h>

struct budget;
struct cache;
struct clock;
struct config;
struct control;
struct counters_all;
struct hotkeys;
struct prefixes;
struct stats;
struct watch;

#define STATS_VALUE_BYTES_MAX 4096u /* of any value, its NUL included */

enum stats_section {
    STATS_GENERAL,
    STATS_SETTINGS,
    STATS_ITEMS,
    STATS_SLABS,
    STATS_SIZES,
    STATS_CONNS,
    STATS_EXTSTORE,
    STATS_ZBUD,
    STATS_HOTKEYS,
    STATS_PREFIXES,
    STATS_SECTIONS_COUNT
};

/* All borrowed, for as long as the struct stats lives. */
struct stats_setup {
    const struct config *config;
    const struct clock *clock;
    const struct counters_all *counters;
    const char *event_version; /* of the event library */
    struct cache *cache;
    struct budget *budget;
    struct watch *watch;
    struct control *control;
    struct prefixes *prefixes;
    struct hotkeys *hotkeys;
    const _Atomic uint32_t *certs_read_s; /* when TLS certificates were read last */
};

/** stats_emit_fn - takes a line; both strings are borrowed. False: no room, stop. */
typedef bool stats_emit_fn(void *context, const char *name, const char *value);

/** stats_conns_fn - emits the lines of "stats conns"; false as soon as @emit says so. */
typedef bool stats_conns_fn(void *context, uint32_t now_s, stats_emit_fn *emit, void *emit_context);

/** stats_new() - NULL where there is no memory. */
struct stats *stats_new(const struct stats_setup *setup);
void stats_free(struct stats *stats);
/** stats_set_conns() - who knows the connections. Before the threads that serve start. */
void stats_set_conns(struct stats *stats, stats_conns_fn *conns, void *context);

/** stats_emit() - every line of a section. Returns false where @emit did. */
bool stats_emit(struct stats *stats, enum stats_section section, uint32_t now_s,
                stats_emit_fn *emit, void *context) __attribute__((warn_unused_result));

/** stats_explain_fn - takes a line's name and what it is, a phrase without a full stop. */
typedef void stats_explain_fn(void *context, const char *name, const char *help);

/** stats_explain() - every line that the section "zbud" can have, for the manual; those of a
 * dictionary with an N for its number. */
void stats_explain(stats_explain_fn *each, void *context);

/** stats_reset() - counters start at 0 again; what is a level (items, bytes, connections) stays. */
void stats_reset(struct stats *stats);

#endif
