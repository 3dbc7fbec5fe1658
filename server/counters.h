/*
 * counters.h - what the server counts: one set of counters a thread, added up when somebody asks.
 *
 *   set 0: main thread   set 1: worker 1   ...   counters_sum(CMD_GET) = the sum of a column
 *
 * A set has one writer, its thread; anybody may read. So a count costs one addition, no lock and no
 * shared cache line. Nothing sets a counter back: "stats reset" remembers where it stood.
 *
 * Invariants:
 *   COUNTERS-1  a counter never falls.
 *   COUNTERS-2  connections open now = CONNS_OPENED - CONNS_CLOSED.
 *
 * Threads: counters_add() only by the thread that owns the set; the rest by any.
 */
#ifndef SERVER_COUNTERS_H
#define SERVER_COUNTERS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Times are counted by magnitude: one counter for those below 2^8 ns, one for each power of two up
 * to 2^24 ns (17 ms), and one for what took longer; behind them one for their sum. */
#define COUNTERS_TIMES       18u
#define COUNTERS_TIMES_POWER 8u

enum counter {
    COUNTER_CMD_GET, /* keys asked for, not requests */
    COUNTER_CMD_SET,
    COUNTER_CMD_FLUSH,
    COUNTER_CMD_TOUCH, /* touch, every key of gat, mg with T that hits */
    COUNTER_CMD_META,  /* me; the others count as the classic commands they replace */
    COUNTER_GET_HITS,
    COUNTER_GET_MISSES,
    COUNTER_TOUCH_HITS,
    COUNTER_TOUCH_MISSES,
    COUNTER_DELETE_HITS,
    COUNTER_DELETE_MISSES,
    COUNTER_INCR_HITS,
    COUNTER_INCR_MISSES,
    COUNTER_DECR_HITS,
    COUNTER_DECR_MISSES,
    COUNTER_CAS_HITS,
    COUNTER_CAS_MISSES,
    COUNTER_CAS_BADVAL,
    COUNTER_STORE_TOO_LARGE,
    COUNTER_STORE_NO_MEMORY,
    COUNTER_AUTH_CMDS, /* users and passwords sent */
    COUNTER_AUTH_ERRORS,
    COUNTER_TLS_SESSIONS, /* that can be resumed */
    COUNTER_TLS_HANDSHAKE_ERRORS,
    COUNTER_TLS_PROTO_ERRORS, /* after the handshake */
    COUNTER_CONNS_OPENED,
    COUNTER_CONNS_CLOSED,
    COUNTER_CONNS_REJECTED,
    COUNTER_CONN_YIELDS, /* turns ended with work left because others waited or may */
    COUNTER_IDLE_KICKS,
    COUNTER_BYTES_READ,
    COUNTER_BYTES_WRITTEN,
    COUNTER_ACCEPT_PAUSES,
    COUNTER_ACCEPT_PAUSED_US,
    COUNTER_INPUT_REFUSED,  /* no memory for a request's bytes */
    COUNTER_OUTPUT_REFUSED, /* no memory for a reply */
    /* How long commands took, of those that are timed: see counters_add_time(). */
    COUNTER_GET_TIMES,
    COUNTER_GET_TIMES_LAST = COUNTER_GET_TIMES + COUNTERS_TIMES - 1,
    COUNTER_GET_TIMES_NS,
    COUNTER_STORE_TIMES,
    COUNTER_STORE_TIMES_LAST = COUNTER_STORE_TIMES + COUNTERS_TIMES - 1,
    COUNTER_STORE_TIMES_NS,
    COUNTERS_COUNT
};

struct counters {
    _Alignas(64) _Atomic uint64_t values[COUNTERS_COUNT];
};

/* The sets of all threads. */
struct counters_all;

struct counters_all *counters_new(size_t sets_count);
void counters_free(struct counters_all *all);
struct counters *counters_set(struct counters_all *all, size_t set);
uint64_t counters_sum(const struct counters_all *all, enum counter counter);

static inline void counters_add(struct counters *counters, enum counter counter, uint64_t n)
{
    const uint64_t now = atomic_load_explicit(&counters->values[counter], memory_order_relaxed);
    atomic_store_explicit(&counters->values[counter], now + n, memory_order_relaxed);
}

/** counters_add_time() - @first: COUNTER_GET_TIMES or COUNTER_STORE_TIMES. */
static inline void counters_add_time(struct counters *counters, enum counter first, uint64_t ns)
{
    const unsigned power = ns > 0 ? 64u - (unsigned)__builtin_clzll(ns) : 0; /* ns < 2^power */
    unsigned n = power > COUNTERS_TIMES_POWER ? power - COUNTERS_TIMES_POWER : 0;

    n = n < COUNTERS_TIMES ? n : COUNTERS_TIMES - 1;
    counters_add(counters, (enum counter)(first + n), 1);
    counters_add(counters, (enum counter)(first + COUNTERS_TIMES), ns);
}

#endif
