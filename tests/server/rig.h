/*
 * rig.h - a cache, its statistics and a command table to talk to in text, without sockets.
 *
 *   rig_ask(rig, "get a\r\n")  -->  protocol_parse(), command_execute()  -->  "END\r\n"
 *
 * Threads: one.
 */
#ifndef TESTS_SERVER_RIG_H
#define TESTS_SERVER_RIG_H

#include "protocol/reply.h"
#include "protocol/request.h"
#include "server/admin/config.h"
#include "server/clock.h"
#include "server/command.h"
#include "server/counters.h"

#include <stddef.h>
#include <stdint.h>

#define RIG_TEXT_BYTES ((size_t)8 << 20)
#define RIG_NOW_S      1800000000u

struct rig {
    struct config config;
    struct clock clock;
    struct cache *cache;
    struct counters_all *counters;
    struct command_shared shared;
    struct command *command;
    uint32_t now_s;
    enum command_outcome outcome; /* of the last request asked */
    size_t reply_bytes;           /* memory that replies start with; grown as they ask for it */
    size_t flushes;               /* how often a reply was taken away to make room */
    size_t parts;                 /* how often a request was suspended after a part of its keys */
    size_t pieces;                /* how often a request went on in pieces */
    char *text;                   /* the last answer, RIG_TEXT_BYTES */
    size_t text_bytes;
};

/** rig_new() - a server with these options, e.g. "-m 8 -F", parted by single spaces. */
struct rig *rig_new(const char *options);
/** rig_new_deferring() - the same, with a cache that leaves work to cache_compress(), as the
 * program's does. */
struct rig *rig_new_deferring(const char *options);
void rig_free(struct rig *rig);

/**
 * rig_ask() - every request in @bytes, one after another; the answers in one text, ended by a NUL.
 *
 * The text is the rig's until the next call. Data that a refused request has to be followed by may
 * be cut short at the end of @bytes. Fails the test where the bytes do not end with a whole
 * request.
 */
const char *rig_ask(struct rig *rig, const char *text);
const char *rig_ask_bytes(struct rig *rig, const void *bytes, size_t count);

/** rig_expect() - asks and compares. */
void rig_expect(struct rig *rig, const char *request, const char *answer);

/** rig_stat() - one number of a section ("" is the general one). Fails the test where it has
 * none. */
uint64_t rig_stat(struct rig *rig, const char *section, const char *name);

#endif
