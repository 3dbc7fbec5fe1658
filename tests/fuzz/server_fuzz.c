/*
 * server_fuzz.c - any bytes as a program of what clients and the background do to a whole server:
 * there is an order that explains every answer (history.h), connections that behave are never
 * closed, and every invariant of the cache holds.
 *
 *   [0] options and how many connections   then instructions, of one to four bytes:
 *
 *   0 to 7   a request  [key, connection, whether it is held back, meta or classic] [its value]
 *   8        some of what a connection holds back is sent, however that cuts it
 *   9        bytes as they are, of the input; what that connection is answered is not looked at
 *   a        the clock goes on          b   steps of upkeep
 *   c        memory is filled           d   a connection stops reading, or reads again
 *   e        a connection is closed and opened again
 *   f        a request that is not looked at: one of a table
 *
 * Keys whose items can expire are apart from those whose cannot: a miss of the first is always
 * explained.
 */
#include "server/cache/cache.h"
#include "tests/fuzz/within.h"
#include "tests/history/history.h"
#include "tests/history/piece.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    EVENTS_MAX = 1024,
    STEPS_MAX = 2048,
    VALUE_KEYS = 6,
    KEYS = 8,        /* of either sort; the others hold numbers */
    EXPIRING = KEYS, /* from here on */
    FILL_ITEMS = 75, /* a tenth of the smallest cache */
    RAW_BYTES_MAX = 64,
    HELD_BYTES_MAX = 2 << 20,
    KEY_MARK = 0xf7,
    ANSWER_BYTES_MAX = 2 << 20
};

struct link {
    bool is_open, deaf, wild;
    uint8_t *held; /* not sent yet */
    size_t held_bytes, held_room;
    char *answers; /* not understood yet */
    size_t answers_bytes, answers_room;
    unsigned first, last; /* of waiting: whose answers are to come */
    struct history_event *waiting[EVENTS_MAX];
};

struct play {
    struct within *within;
    struct cache_worker *filler;
    const uint8_t *data, *end;
    uint64_t now; /* counts what happens */
    uint64_t written;
    bool loses; /* items may be gone */
    unsigned links_count;
    struct link links[WITHIN_LINKS_MAX];
    uint64_t uniques[2 * KEYS];
    unsigned events_count;
    struct history_event events[EVENTS_MAX];
    bool is_meta[EVENTS_MAX];
    char scratch[PIECE_BYTES_MAX + 2];
};

static unsigned next_byte(struct play *play)
{
    return play->data < play->end ? *play->data++ : 0;
}

static void put(uint8_t **buffer, size_t *bytes, size_t *room, const void *from, size_t count)
{
    if (*room < *bytes + count) {
        *room = 2 * (*bytes + count);
        *buffer = realloc(*buffer, *room);
        assert(*buffer != NULL);
    }
    memcpy(*buffer + *bytes, from, count);
    *bytes += count;
}

static void hold(struct link *link, const void *bytes, size_t count)
{
    put(&link->held, &link->held_bytes, &link->held_room, bytes, count);
}

static void hold_text(struct link *link, const char *text)
{
    hold(link, text, strlen(text));
}

/* ---- answers ---- */

static bool is_number_key(uint32_t key)
{
    return key % KEYS >= VALUE_KEYS;
}

static void fail(const char *what, const struct history_event *event, const char *answer,
                 size_t bytes)
{
    (void)fprintf(stderr, "%s: key %" PRIu32 ", operation %u: %.*s\n", what, event->key,
                  event->operation, (int)(bytes < 200 ? bytes : 200), answer);
    abort();
}

/* The value of a get or an arithmetic command, and its cas; false where it has not all come. */
static bool take_value(struct play *play, struct history_event *event, const char *text,
                       size_t bytes, size_t line_bytes, size_t *used)
{
    const bool meta = text[2] == ' ';
    const char *number = text + 3, *cas = strstr(text, " c");
    size_t value_bytes = 0;

    if (!meta) {
        if (sscanf(text, "VALUE %*s %*u %zu %" SCNu64, &value_bytes, &event->argument) < 1) {
            fail("no value", event, text, bytes);
        }
    } else {
        value_bytes = strtoul(number, NULL, 10);
        event->argument = cas != NULL && event->operation == HISTORY_GET
                              ? strtoull(cas + 2, NULL, 10)
                              : event->argument;
    }
    const char *value = text + line_bytes + 2, *end = meta ? "\r\n" : "\r\nEND\r\n";
    *used = line_bytes + 2 + value_bytes + strlen(end);
    if (bytes < *used) {
        return false;
    }
    event->answer = HISTORY_DONE;
    if (is_number_key(event->key) && event->operation == HISTORY_GET) {
        event->argument = 0; /* numbers come again: their uniques say nothing */
    }
    const bool good = is_number_key(event->key)
                          ? piece_read_number(value, value_bytes, &event->value)
                          : piece_read(value, value_bytes, play->scratch, &event->value);
    if (!good || memcmp(value + value_bytes, end, strlen(end)) != 0) {
        fail("nobody stored this", event, text, bytes);
    }
    return true;
}

/* Of all other answers, by their first word. */
static enum history_answer answer_of(struct play *play, const struct history_event *event,
                                     const char *line, size_t bytes)
{
    static const struct {
        const char *word;
        enum history_answer answer;
    } words[] = {{"STORED", HISTORY_DONE},  {"HD", HISTORY_DONE},
                 {"DELETED", HISTORY_DONE}, {"TOUCHED", HISTORY_DONE},
                 {"OK", HISTORY_DONE},      {"NOT_STORED", HISTORY_MISSED},
                 {"NS", HISTORY_MISSED},    {"NOT_FOUND", HISTORY_MISSED},
                 {"NF", HISTORY_MISSED},    {"EN", HISTORY_MISSED},
                 {"END", HISTORY_MISSED},   {"EXISTS", HISTORY_REFUSED},
                 {"EX", HISTORY_REFUSED},   {"SERVER_ERROR", HISTORY_FAILED}};
    const size_t word_bytes = strcspn(line, " \r");

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i].word) != word_bytes || memcmp(words[i].word, line, word_bytes) != 0) {
            continue;
        }
        if (words[i].answer == HISTORY_FAILED) {
            play->loses = true; /* a set that fails removes what was there */
        }
        return words[i].answer == HISTORY_MISSED && event->operation == HISTORY_ADD
                   ? HISTORY_REFUSED
                   : words[i].answer;
    }
    fail("no answer to this", event, line, bytes);
    return HISTORY_FAILED;
}

/* The answer to the first that waits; false where it has not all come. */
static bool take_answer(struct play *play, struct link *link)
{
    const char *text = link->answers, *line_end = strstr(text, "\r\n");
    struct history_event *event = link->waiting[link->first];
    size_t used;

    if (line_end == NULL) {
        return false;
    }
    const size_t line_bytes = (size_t)(line_end - text);
    if (strncmp(text, "VALUE ", 6) == 0 || strncmp(text, "VA ", 3) == 0) {
        if (!take_value(play, event, text, link->answers_bytes, line_bytes, &used)) {
            return false;
        }
        if (event->operation == HISTORY_GET) {
            play->uniques[event->key] = event->argument;
        }
    } else if (event->operation >= HISTORY_INCR && text[0] >= '0' && text[0] <= '9') {
        event->value = history_number(strtoull(text, NULL, 10));
        event->answer = HISTORY_DONE;
        used = line_bytes + 2;
    } else {
        event->answer = (uint8_t)answer_of(play, event, text, link->answers_bytes);
        used = line_bytes + 2;
    }
    event->answered_ns = ++play->now;
    link->first++;
    link->answers_bytes -= used;
    memmove(link->answers, link->answers + used, link->answers_bytes + 1);
    return true;
}

static void read_answers(struct play *play, unsigned number)
{
    struct link *link = &play->links[number];
    char bytes[16384];
    bool closed = false;
    size_t count;

    while (!closed &&
           (count = within_read(play->within, number, bytes, sizeof(bytes), &closed)) > 0) {
        put((uint8_t **)&link->answers, &link->answers_bytes, &link->answers_room, bytes, count);
        put((uint8_t **)&link->answers, &link->answers_bytes, &link->answers_room, "", 1);
        link->answers_bytes--;
        while (link->first < link->last && take_answer(play, link)) {
        }
        link->answers_bytes = link->first == link->last && link->wild ? 0 : link->answers_bytes;
        within_run(play->within);
    }
    if (closed && !link->wild) {
        (void)fprintf(stderr, "connection %u was closed\n", number);
        abort();
    }
}

static void run(struct play *play)
{
    within_run(play->within);
    for (unsigned i = 0; i < play->links_count; i++) {
        if (play->links[i].is_open && !play->links[i].deaf) {
            read_answers(play, i);
        }
    }
}

/* ---- sending ---- */

/* Up to @count bytes of what is held back. */
static void send_held(struct play *play, unsigned number, size_t count)
{
    struct link *link = &play->links[number];
    size_t wanted = count < link->held_bytes ? count : link->held_bytes;

    while (wanted > 0) {
        const size_t sent = within_send(play->within, number, link->held, wanted);
        link->held_bytes -= sent;
        wanted -= sent;
        memmove(link->held, link->held + sent, link->held_bytes);
        const uint64_t before = play->now;
        run(play);
        if (sent == 0 && play->now == before && (link->deaf || link->wild)) {
            break; /* it waits for us to read, or is gone */
        }
    }
    run(play);
}

/* Everything sent and answered. */
static void settle_link(struct play *play, unsigned number)
{
    struct link *link = &play->links[number];

    link->deaf = false;
    send_held(play, number, link->held_bytes);
    assert(link->wild ||
           (link->held_bytes == 0 && link->first == link->last && link->answers_bytes == 0));
}

static void open_link(struct play *play, unsigned number)
{
    struct link *link = &play->links[number];

    link->is_open = true;
    link->wild = false;
    link->held_bytes = link->answers_bytes = 0;
    link->first = link->last = 0;
    within_dial(play->within, number, 0);
}

/* ---- requests that are looked at ---- */

static size_t write_key(uint32_t key, char *out)
{
    return (size_t)sprintf(out, "%cq7:hist:%" PRIu32, KEY_MARK, key);
}

static void hold_store(struct play *play, struct link *link, const char *key, bool meta,
                       struct history_event *event, unsigned kind)
{
    static const char *const words[] = {
        [HISTORY_SET] = "set",       [HISTORY_ADD] = "add",         [HISTORY_REPLACE] = "replace",
        [HISTORY_APPEND] = "append", [HISTORY_PREPEND] = "prepend", [HISTORY_CAS] = "cas"};
    static const char modes[] = {
        [HISTORY_SET] = 'S',    [HISTORY_ADD] = 'E',     [HISTORY_REPLACE] = 'R',
        [HISTORY_APPEND] = 'A', [HISTORY_PREPEND] = 'P', [HISTORY_CAS] = 'S'};
    const unsigned expiry = event->key >= EXPIRING ? 1 + kind / 16 : 0;
    char line[256];
    size_t bytes;

    if (is_number_key(event->key)) {
        event->value = history_number(kind);
        bytes = (size_t)sprintf(play->scratch, "%u", kind);
    } else {
        const uint64_t number = ++play->written << 8 | kind % PIECE_FILLINGS;
        event->value = history_piece(number);
        bytes = piece_write(number, play->scratch);
    }
    int used;
    if (meta) {
        used = sprintf(line, "ms %s %zu M%c T%u", key, bytes, modes[event->operation], expiry);
    } else {
        used = sprintf(line, "%s %s %u %u %zu", words[event->operation], key, kind, expiry, bytes);
    }
    if (event->operation == HISTORY_CAS) {
        event->argument = play->uniques[event->key];
        used += sprintf(line + used, meta ? " C%" PRIu64 : " %" PRIu64, event->argument);
    }
    used += sprintf(line + used, "\r\n");
    memcpy(play->scratch + bytes, "\r\n", 2);
    hold(link, line, (size_t)used);
    hold(link, play->scratch, bytes + 2);
}

static void hold_other(struct link *link, const char *key, bool meta, struct history_event *event,
                       unsigned kind)
{
    const unsigned expiry = event->key >= EXPIRING ? 1 + kind / 16 : 0;
    const bool adds = event->operation == HISTORY_INCR;
    char line[256];

    switch ((enum history_operation)event->operation) {
    case HISTORY_GET:
        if (kind % 4 != 0) {
            (void)snprintf(line, sizeof(line), meta ? "mg %s c v\r\n" : "gets %s\r\n", key);
        } else if (meta) {
            (void)snprintf(line, sizeof(line), "mg %s T%u v c\r\n", key, expiry);
        } else {
            (void)snprintf(line, sizeof(line), "gats %u %s\r\n", expiry, key);
        }
        break;
    case HISTORY_TOUCH:
        (void)snprintf(line, sizeof(line), "touch %s %u\r\n", key, expiry);
        break;
    case HISTORY_DELETE:
        (void)snprintf(line, sizeof(line), "%s %s\r\n", meta ? "md" : "delete", key);
        break;
    case HISTORY_FLUSH:
        (void)snprintf(line, sizeof(line), "flush_all\r\n");
        break;
    case HISTORY_INCR:
    case HISTORY_DECR:
    case HISTORY_SET:
    case HISTORY_ADD:
    case HISTORY_REPLACE:
    case HISTORY_APPEND:
    case HISTORY_PREPEND:
    case HISTORY_CAS:
    default:
        event->argument = kind % 64;
        if (meta) {
            (void)snprintf(line, sizeof(line), "ma %s M%c D%u v\r\n", key, adds ? 'I' : 'D',
                           kind % 64);
        } else {
            (void)snprintf(line, sizeof(line), "%s %s %u\r\n", adds ? "incr" : "decr", key,
                           kind % 64);
        }
    }
    hold_text(link, line);
}

/* What a byte's low bits ask for on a key of that sort. */
static enum history_operation choose_operation(unsigned byte, uint32_t key)
{
    static const enum history_operation on_values[] = {
        HISTORY_GET,    HISTORY_SET,     HISTORY_GET, HISTORY_ADD,    HISTORY_REPLACE,
        HISTORY_APPEND, HISTORY_PREPEND, HISTORY_CAS, HISTORY_DELETE, HISTORY_TOUCH};
    static const enum history_operation on_numbers[] = {
        HISTORY_GET, HISTORY_SET,  HISTORY_INCR, HISTORY_INCR,   HISTORY_DECR,
        HISTORY_ADD, HISTORY_DECR, HISTORY_INCR, HISTORY_DELETE, HISTORY_INCR};
    const size_t count = sizeof(on_values) / sizeof(on_values[0]);

    return is_number_key(key) ? on_numbers[byte % count] : on_values[byte % count];
}

static void request(struct play *play, unsigned byte)
{
    const unsigned target = next_byte(play), kind = next_byte(play);
    const unsigned number = target / 16 % play->links_count;
    struct link *link = &play->links[number];
    const uint32_t key = target % (2 * KEYS);
    const bool flush = byte == 0x7f, meta = target & 0x80;

    if (play->events_count == EVENTS_MAX || link->wild || link->held_bytes > HELD_BYTES_MAX) {
        return;
    }
    struct history_event *event = &play->events[play->events_count++];
    char text[32];
    text[write_key(key, text)] = '\0';
    *event = (struct history_event){
        .sent_ns = ++play->now,
        .key = flush ? HISTORY_ALL_KEYS : key,
        .client = (uint16_t)number,
        .operation = (uint8_t)(flush ? HISTORY_FLUSH : choose_operation(byte, key)),
    };
    if (event->operation >= HISTORY_SET && event->operation <= HISTORY_CAS) {
        hold_store(play, link, text, meta, event, kind);
    } else {
        hold_other(link, text, meta, event, kind);
    }
    link->waiting[link->last++] = event;
    if ((byte & 0x40) == 0) {
        send_held(play, number, link->held_bytes);
    }
}

/* ---- the other instructions ---- */

/* From here on nobody looks at what a connection is answered. It may be told to flush all. */
static void go_wild(struct play *play, unsigned number)
{
    if (!play->links[number].wild) {
        settle_link(play, number);
    }
    play->links[number].wild = true;
    play->loses = true;
}

static void send_raw(struct play *play, unsigned number)
{
    struct link *link = &play->links[number];
    uint8_t bytes[RAW_BYTES_MAX];
    const unsigned count = next_byte(play) % RAW_BYTES_MAX;

    for (unsigned i = 0; i < count; i++) {
        const unsigned byte = next_byte(play);
        bytes[i] = byte == KEY_MARK ? '?' : (uint8_t)byte; /* not to touch what is looked at */
    }
    go_wild(play, number);
    hold(link, bytes, count);
    send_held(play, number, link->held_bytes);
}

static void send_other(struct play *play, unsigned number)
{
    static const char *const requests[] = {
        "stats\r\n",
        "stats items\r\n",
        "stats slabs\r\n",
        "stats zbud\r\n",
        "stats sizes\r\n",
        "stats settings\r\n",
        "stats check\r\n",
        "stats reset\r\n",
        "mn\r\n",
        "version\r\n",
        "lru_crawler metadump all\r\n",
        "lru_crawler mgdump all\r\n",
        "lru_crawler crawl all\r\n",
        "stats detail on\r\n",
        "stats detail dump\r\n",
        "stats cachedump 1 100\r\n",
        "watch fetchers mutations evictions\r\n",
        "cache_memlimit 8\r\n",
        "cache_memlimit 16\r\n",
        "set l 1 0 3 noreply\r\nabc\r\nget l m n o p q r s\r\n",
        "me l\r\n",
        "quit\r\n",
        "ms l 2 T3 q\r\nhi\r\nmd l I T9\r\nmg l N5 v t s k h l c f\r\nmg l E7 v\r\n",
        "ma n N0 J13 v\r\nma n N0 q D7\r\nmg n v k O1 q\r\nmg n R30 v W\r\n",
        "verbosity 1\r\n",
        "set l 1 0 99999999\r\n",
        "flush_all 2\r\n",
        "slabs reassign 1 2\r\n",
        "lru mode flat\r\n"};
    struct link *link = &play->links[number];

    go_wild(play, number);
    hold_text(link, requests[next_byte(play) % (sizeof(requests) / sizeof(requests[0]))]);
    send_held(play, number, link->held_bytes);
}

/* Items that nobody asks for, stored as another thread would: past all connections. */
static void fill(struct play *play, unsigned times)
{
    const uint32_t now_s = within_now_s(play->within);

    for (unsigned i = 0; i < times * FILL_ITEMS; i++) {
        char *entry = play->scratch;
        const size_t key_bytes = (size_t)sprintf(entry, "f:%" PRIu64, ++play->written);
        const size_t value_bytes = piece_write(
            play->written << 8 | (i % 25 == 0 ? PIECE_HUGE : PIECE_NOISE), entry + key_bytes);
        const struct cache_store store = {
            .entry = (const uint8_t *)entry,
            .key_bytes = key_bytes,
            .value_bytes = value_bytes,
            .mode = CACHE_SET,
            .expiry_s = i % 8 == 0 ? now_s + i % 32 : CACHE_NEVER,
        };
        (void)!cache_store(play->filler, &store, now_s, NULL);
    }
    run(play);
}

static void reopen(struct play *play, unsigned number)
{
    settle_link(play, number);
    within_hang_up(play->within, number);
    play->links[number].is_open = false;
    run(play);
    open_link(play, number);
}

static void other(struct play *play, unsigned byte)
{
    const unsigned low = byte % 16, number = low % play->links_count;

    switch (byte / 16) {
    case 8:
        send_held(play, number, next_byte(play));
        break;
    case 9:
        send_raw(play, number);
        break;
    case 10:
        within_advance(play->within, low * low);
        break;
    case 11:
        for (unsigned i = 0; i < 4 * low; i++) {
            within_upkeep(play->within);
        }
        break;
    case 12:
        fill(play, low % 4);
        break;
    case 13:
        play->links[number].deaf = !play->links[number].deaf;
        run(play);
        break;
    case 14:
        reopen(play, number);
        break;
    default:
        send_other(play, number);
    }
}

/* ---- judging ---- */

/* Those of one sort of keys, and all flushes; some were never sent, on links gone wild. */
static void judge(const struct play *play, bool expiring)
{
    static struct history_event events[EVENTS_MAX];
    struct history_fault fault;
    size_t count = 0;

    for (unsigned i = 0; i < play->events_count; i++) {
        const struct history_event *event = &play->events[i];
        if (event->answered_ns != 0 &&
            (event->operation == HISTORY_FLUSH || (event->key >= EXPIRING) == expiring)) {
            events[count++] = *event;
        }
    }
    if (!history_check(events, count, play->loses || expiring, &fault)) {
        history_print(stderr, &fault);
        abort();
    }
}

static void finish(struct play *play)
{
    struct cache_figures figures;

    for (unsigned i = 0; i < play->links_count; i++) {
        settle_link(play, i);
    }
    cache_figures(play->within->rig->cache, &figures);
    play->loses = play->loses || figures.evicted > 0 || figures.no_memory > 0;
    cache_check(play->within->rig->cache);
    judge(play, false);
    judge(play, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const options[] = {
        "-m 8",  "-m 8 -o no_compress", "-m 8 -M",      "-m 8 -R 1",
        "-m 24", "-m 8 -I 64k",         "-m 8 -R 2 -X", "-m 9 -o settle_pct=0"};
    struct play *play = calloc(1, sizeof(*play));

    assert(play != NULL);
    play->data = data;
    play->end = data + size;
    const unsigned head = next_byte(play);
    play->within = within_new(options[head % 8], NULL, NULL);
    play->filler = cache_worker_new(play->within->rig->cache);
    play->links_count = 1 + head / 8 % WITHIN_LINKS_MAX;
    assert(play->filler != NULL);
    for (unsigned i = 0; i < play->links_count; i++) {
        open_link(play, i);
    }
    for (unsigned i = 0; i < STEPS_MAX && play->data < play->end; i++) {
        const unsigned byte = next_byte(play);
        if (byte < 0x80) {
            request(play, byte);
        } else {
            other(play, byte);
        }
    }
    finish(play);
    for (unsigned i = 0; i < play->links_count; i++) {
        free(play->links[i].held);
        free(play->links[i].answers);
    }
    cache_worker_free(play->filler);
    within_free(play->within);
    free(play);
    return 0;
}
