/*
 * load_plan.h - what a run is to do, as the command line says it.
 *
 * Words: a *request* is a command line (with a value, where it stores) and all of its reply; a
 * multiget is one request of many keys. A *closed loop* sends the next requests when the last ones
 * are answered; an *open loop* sends them at their time, whatever the server does.
 */
#ifndef CLIENTS_LOAD_PLAN_H
#define CLIENTS_LOAD_PLAN_H

#include "clients/load_items.h"

#include <stdbool.h>
#include <stdint.h>

#define LOAD_CONNECTIONS_MAX 65536u
#define LOAD_DEPTH_MAX       100000u
#define LOAD_THREADS_MAX     64u
#define LOAD_MULTIGET_MAX    100000u

enum load_kind {
    LOAD_GET,
    LOAD_SET,
    LOAD_MULTIGET,
    LOAD_DELETE,
    LOAD_KINDS_COUNT
};

struct load_plan {
    const char *host;
    uint16_t port;
    const char *socket_path; /* NULL: TCP */

    uint32_t connections; /* of all threads */
    uint32_t depth;       /* requests that one connection may have on the way */
    uint32_t threads;
    uint32_t timeout_s;

    double seconds;
    double warmup_s;
    uint64_t requests;            /* 0: as many as the seconds hold */
    double rate;                  /* requests a second of all threads; 0: closed loop */
    bool even_arrivals;           /* equal gaps, not those of a Poisson process */
    bool spin;                    /* look at the clock all the time, sleep never */
    uint32_t progress_s;          /* 0: none */
    double mix[LOAD_KINDS_COUNT]; /* weights */
    uint32_t multiget_keys;

    uint64_t keys;
    double skew; /* 0: each key as likely */
    uint32_t ttl_s_min, ttl_s_max;
    struct load_items_plan items;
    uint64_t seed;

    bool preload;
    bool verify;
    bool must_hit;
    bool json;
};

#endif
