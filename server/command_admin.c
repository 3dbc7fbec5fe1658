#include "server/command_admin.h"

#include "protocol/token.h"
#include "server/admin/config.h"
#include "server/admin/control.h"
#include "server/admin/prefixes.h"
#include "server/clock.h"
#include "server/dump.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define WORDS_MAX       8u
#define NUMBER_BYTES    32u
#define CLASSES_MAX     63u /* of memcached: 1 to 63 are numbers of classes */
#define CLASS_OF_ITEMS  1u  /* here all items are of this one */
#define SLEEP_US_MAX    1000000u
#define LRU_PCT_SUM_MAX 80u
#define FRACTION_MAX    1000.0
#define MILLIONTHS      1e6
#define NO_MEMORY       "SERVER_ERROR out of memory writing stats"
#define BAD_LINE        "CLIENT_ERROR bad command line format"

struct dumping {
    const struct protocol_request *request;
    struct dump *dump;
    bool crawls; /* it is the one crawl that may be under way */
    LIST_ENTRY(dumping) entry;
};

struct admin {
    const struct command_shared *shared;
    LIST_HEAD(, dumping) dumps;
};

/* One call of admin_execute(). */
struct asked {
    struct admin *admin;
    const struct command_shared *shared;
    struct protocol_request *request;
    struct protocol_reply *reply;
    struct protocol_slice words[WORDS_MAX]; /* behind the command's */
    unsigned words_count;
    uint32_t now_s;
    size_t *room_bytes;
};

typedef enum command_outcome admin_fn(struct asked *asked);

static enum command_outcome answer(const struct asked *asked, const char *line)
{
    if (!asked->request->noreply) {
        const bool written = protocol_reply_line(asked->reply, line);
        assert(written);
    }
    return COMMAND_DONE;
}

/* ---- words ---- */

static bool read_signed(struct protocol_slice word, int64_t *number)
{
    uint64_t magnitude = 0;
    const bool has_sign = word.bytes > 0 && (word.data[0] == '-' || word.data[0] == '+');
    const bool negative = has_sign && word.data[0] == '-';

    if (has_sign) {
        word.data++;
        word.bytes--;
    }
    if (!protocol_token_natural(word, INT64_MAX, &magnitude)) {
        return false;
    }
    *number = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

/* A decimal fraction, in millionths. */
static bool read_fraction(struct protocol_slice word, int64_t *millionths)
{
    char text[NUMBER_BYTES];
    char *end;

    if (word.bytes == 0 || word.bytes >= sizeof(text)) {
        return false;
    }
    for (size_t i = 0; i < word.bytes; i++) {
        if (strchr("+-.0123456789", word.data[i]) == NULL || word.data[i] == '\0') {
            return false;
        }
    }
    memcpy(text, word.data, word.bytes);
    text[word.bytes] = '\0';
    const double number = strtod(text, &end);
    if (*end != '\0' || number > FRACTION_MAX || number < -FRACTION_MAX) {
        return false;
    }
    *millionths = (int64_t)(number * MILLIONTHS);
    return true;
}

/* ---- dumps ---- */

static struct dumping *find_dump(const struct admin *admin, const struct protocol_request *request)
{
    struct dumping *dumping;

    LIST_FOREACH(dumping, &admin->dumps, entry)
    {
        if (dumping->request == request) {
            break;
        }
    }
    return dumping;
}

static void end_dump(struct admin *admin, struct dumping *dumping)
{
    if (dumping->crawls) {
        control_crawl_end(admin->shared->control);
    }
    LIST_REMOVE(dumping, entry);
    dump_free(dumping->dump);
    free(dumping);
}

static enum command_outcome go_on(struct asked *asked, struct dumping *dumping)
{
    switch (dump_write(dumping->dump, asked->reply, asked->now_s)) {
    case DUMP_DONE:
        end_dump(asked->admin, dumping);
        return COMMAND_DONE;
    case DUMP_MORE:
        return COMMAND_PAUSE;
    case DUMP_NO_ROOM:
        break;
    }
    *asked->room_bytes = DUMP_LINE_BYTES_MAX;
    return COMMAND_NEEDS_ROOM;
}

/* @crawls: that a crawl was begun for it. */
static enum command_outcome begin_dump(struct asked *asked, enum dump_kind kind, uint64_t items_max,
                                       bool empty, bool crawls)
{
    const struct command_shared *shared = asked->shared;
    struct dumping *dumping = calloc(1, sizeof(*dumping));
    const struct dump_setup setup = {
        .kind = kind,
        .cache = shared->cache,
        .budget = shared->budget,
        .prefixes = shared->prefixes,
        .item_bytes_max = shared->config->item_bytes_max,
        .items_max = items_max,
        .empty = empty,
    };
    struct dump *dump = dumping != NULL ? dump_new(&setup) : NULL;

    if (dump == NULL) {
        free(dumping);
        if (crawls) {
            control_crawl_end(shared->control);
        }
        return answer(asked, NO_MEMORY);
    }
    *dumping = (struct dumping){.request = asked->request, .dump = dump, .crawls = crawls};
    LIST_INSERT_HEAD(&asked->admin->dumps, dumping, entry);
    return go_on(asked, dumping);
}

void admin_forget(struct admin *admin, const struct protocol_request *request)
{
    struct dumping *dumping = find_dump(admin, request);

    if (dumping != NULL) {
        end_dump(admin, dumping);
    }
}

/* ---- lru_crawler ---- */

static bool crawler_enabled(const struct asked *asked)
{
    const bool enabled = control_open(asked->shared->control)->inert.lru_crawler;

    control_close(asked->shared->control);
    return enabled;
}

struct classes {
    bool named;    /* there is one at all */
    bool of_items; /* and it is that of the items */
    bool hash;     /* not by class, but in the order of the hash */
};

/* "all", "hash", or numbers parted by commas. NULL, or what is wrong. */
static const char *read_classes(struct protocol_slice word, struct classes *classes)
{
    *classes = (struct classes){.hash = protocol_slice_is(word, "hash")};
    if (classes->hash || protocol_slice_is(word, "all")) {
        classes->named = true;
        classes->of_items = true;
        return NULL;
    }
    while (word.bytes > 0) {
        const uint8_t *comma = memchr(word.data, ',', word.bytes);
        struct protocol_slice one = word;
        uint64_t number = 0;
        if (comma != NULL) {
            one.bytes = (size_t)(comma - word.data);
        }
        if (one.bytes > 0 && (!protocol_token_natural(one, CLASSES_MAX, &number) || number == 0)) {
            return "BADCLASS invalid class id";
        }
        classes->named = classes->named || one.bytes > 0;
        classes->of_items = classes->of_items || number == CLASS_OF_ITEMS;
        const size_t behind = one.bytes + (comma != NULL ? 1 : 0);
        word.data += behind;
        word.bytes -= behind;
    }
    return classes->named ? NULL : "NOTSTARTED no items to crawl";
}

/* What crawl and the dumps look at before they begin; NULL: go on. */
static const char *refuse_crawl(struct asked *asked, struct classes *classes)
{
    const char *wrong = read_classes(asked->words[1], classes);

    if (wrong == NULL && !control_crawl_begin(asked->shared->control)) {
        wrong = "BUSY currently processing crawler request";
    }
    return wrong;
}

/* What has expired is collected as it expires: there is nothing to be begun. */
static enum command_outcome crawl(struct asked *asked)
{
    struct classes classes;

    if (!crawler_enabled(asked)) {
        return answer(asked, "CLIENT_ERROR lru crawler disabled");
    }
    if (protocol_slice_is(asked->words[1], "hash")) {
        return answer(asked, "ERROR an unknown error happened");
    }
    const char *wrong = refuse_crawl(asked, &classes);
    if (wrong != NULL) {
        return answer(asked, wrong);
    }
    control_crawl_end(asked->shared->control);
    return answer(asked, "OK");
}

static enum command_outcome dump_keys(struct asked *asked, enum dump_kind kind,
                                      const char *not_allowed)
{
    struct classes classes;

    if (!crawler_enabled(asked)) {
        return answer(asked, "CLIENT_ERROR lru crawler disabled");
    }
    if (!asked->shared->config->dump_enabled) {
        return answer(asked, not_allowed);
    }
    const char *wrong = refuse_crawl(asked, &classes);
    return wrong != NULL ? answer(asked, wrong)
                         : begin_dump(asked, kind, 0, !classes.of_items, true);
}

static enum command_outcome metadump(struct asked *asked)
{
    return dump_keys(asked, DUMP_META, "ERROR metadump not allowed");
}

static enum command_outcome mgdump(struct asked *asked)
{
    return dump_keys(asked, DUMP_MG, "ERROR key dump not allowed");
}

static enum command_outcome tocrawl(struct asked *asked)
{
    uint64_t items = 0;

    if (!protocol_token_natural(asked->words[1], UINT32_MAX, &items)) {
        return answer(asked, BAD_LINE);
    }
    control_open(asked->shared->control)->inert.lru_crawler_tocrawl = (uint32_t)items;
    control_close(asked->shared->control);
    return answer(asked, "OK");
}

static enum command_outcome crawler_sleep(struct asked *asked)
{
    uint64_t sleep_us = 0;

    if (!protocol_token_natural(asked->words[1], UINT32_MAX, &sleep_us)) {
        return answer(asked, BAD_LINE);
    }
    if (sleep_us > SLEEP_US_MAX) {
        return answer(asked, "CLIENT_ERROR sleep must be one second or less");
    }
    control_open(asked->shared->control)->inert.lru_crawler_sleep_us = (uint32_t)sleep_us;
    control_close(asked->shared->control);
    return answer(asked, "OK");
}

static enum command_outcome enable(struct asked *asked)
{
    struct config *config = control_open(asked->shared->control);
    const bool was_enabled = config->inert.lru_crawler;

    config->inert.lru_crawler = true;
    control_close(asked->shared->control);
    return answer(asked, was_enabled ? "ERROR failed to start lru crawler thread" : "OK");
}

static enum command_outcome disable(struct asked *asked)
{
    control_open(asked->shared->control)->inert.lru_crawler = false;
    control_close(asked->shared->control);
    return answer(asked, "OK");
}

/* ---- slabs, lru: accepted as memcached does, shown, and of no effect ---- */

static enum command_outcome reassign(struct asked *asked)
{
    int64_t from, to;

    if (!asked->shared->config->inert.slab_reassign) {
        return answer(asked, "CLIENT_ERROR slab reassignment disabled");
    }
    if (!read_signed(asked->words[1], &from) || !read_signed(asked->words[2], &to)) {
        return answer(asked, BAD_LINE);
    }
    if (from == to) {
        return answer(asked, "SAME src and dst class are identical");
    }
    if (from < 0 || from > CLASSES_MAX || to < 0 || to > CLASSES_MAX) {
        return answer(asked, "BADCLASS invalid src or dst class id");
    }
    return answer(asked, "NOSPARE source class has no spare pages");
}

/* automove ratio, freeratio <fraction>, window <seconds> */
static const char *set_automove(struct config_inert *inert, const struct asked *asked)
{
    const struct protocol_slice name = asked->words[1];
    int64_t millionths;
    uint64_t seconds;

    if (asked->words_count < 3) {
        return "ERROR";
    }
    if (protocol_slice_is(name, "window")) {
        if (!protocol_token_natural(asked->words[2], UINT32_MAX, &seconds)) {
            return "ERROR";
        }
        if (seconds < 3 || seconds > 1800) {
            return "CLIENT_ERROR automove window too low or too high";
        }
        inert->slab_automove_window_s = (uint32_t)seconds;
        return "OK";
    }
    if (!read_fraction(asked->words[2], &millionths) || millionths < 0) {
        return "ERROR";
    }
    if (protocol_slice_is(name, "ratio")) {
        inert->slab_automove_ratio = (uint64_t)millionths;
    } else {
        inert->slab_automove_freeratio = (uint64_t)millionths;
    }
    return "OK";
}

static enum command_outcome automove(struct asked *asked)
{
    const struct protocol_slice name = asked->words[1];
    struct config *config = control_open(asked->shared->control);
    const char *line = "OK";
    uint64_t level;

    if (protocol_slice_is(name, "ratio") || protocol_slice_is(name, "freeratio") ||
        protocol_slice_is(name, "window")) {
        line = set_automove(&config->inert, asked);
    } else if (!protocol_token_natural(name, UINT32_MAX, &level)) {
        line = BAD_LINE;
    } else if (level > 2) {
        line = "ERROR";
    } else {
        config->inert.slab_automove = (uint32_t)level;
    }
    control_close(asked->shared->control);
    return answer(asked, line);
}

static enum command_outcome tune(struct asked *asked)
{
    uint64_t hot_pct, warm_pct;
    int64_t hot_factor, warm_factor;

    if (!protocol_token_natural(asked->words[1], UINT32_MAX, &hot_pct) ||
        !protocol_token_natural(asked->words[2], UINT32_MAX, &warm_pct) ||
        !read_fraction(asked->words[3], &hot_factor) ||
        !read_fraction(asked->words[4], &warm_factor)) {
        return answer(asked, "ERROR");
    }
    if (hot_pct + warm_pct > LRU_PCT_SUM_MAX) {
        return answer(asked, "ERROR hot and warm pcts must not exceed 80");
    }
    if (hot_factor <= 0 || warm_factor <= 0) {
        return answer(asked, "ERROR hot/warm age factors must be greater than 0");
    }
    struct config_inert *inert = &control_open(asked->shared->control)->inert;
    inert->hot_lru_pct = (uint32_t)hot_pct;
    inert->warm_lru_pct = (uint32_t)warm_pct;
    inert->hot_max_factor = (uint64_t)hot_factor;
    inert->warm_max_factor = (uint64_t)warm_factor;
    control_close(asked->shared->control);
    return answer(asked, "OK");
}

static enum command_outcome lru_mode(struct asked *asked)
{
    const bool flat = protocol_slice_is(asked->words[1], "flat");

    if (!asked->shared->config->inert.lru_maintainer ||
        (!flat && !protocol_slice_is(asked->words[1], "segmented"))) {
        return answer(asked, "ERROR");
    }
    control_open(asked->shared->control)->inert.lru_segmented = !flat;
    control_close(asked->shared->control);
    return answer(asked, "OK");
}

static enum command_outcome temp_ttl(struct asked *asked)
{
    int64_t ttl_s;

    if (!asked->shared->config->inert.lru_maintainer || !read_signed(asked->words[1], &ttl_s) ||
        ttl_s > INT32_MAX) {
        return answer(asked, "ERROR");
    }
    struct config_inert *inert = &control_open(asked->shared->control)->inert;
    inert->temp_lru = ttl_s >= 0;
    if (ttl_s >= 0) {
        inert->temporary_ttl_s = (uint32_t)ttl_s;
    }
    control_close(asked->shared->control);
    return answer(asked, "OK");
}

/* ---- debugtime ---- */

static enum command_outcome debugtime(struct asked *asked)
{
    struct clock *clock = asked->shared->clock;
    int64_t seconds;

    if (!asked->shared->config->debugtime) {
        return answer(asked, "ERROR");
    }
    if (protocol_slice_is(asked->words[0], "p")) {
        clock_pause(clock);
    } else if (protocol_slice_is(asked->words[0], "r")) {
        clock_resume(clock);
    } else if (!read_signed(asked->words[0], &seconds) || !clock_shift(clock, seconds)) {
        return answer(asked, BAD_LINE);
    }
    return answer(asked, "OK");
}

/* ---- the table ---- */

struct row {
    enum protocol_verb verb;
    const char *word; /* the first behind the command's; NULL: any */
    unsigned words_min, words_max;
    admin_fn *execute;
};

static const struct row rows[] = {
    {PROTOCOL_LRU_CRAWLER, "crawl", 2, 2, crawl},
    {PROTOCOL_LRU_CRAWLER, "metadump", 2, 2, metadump},
    {PROTOCOL_LRU_CRAWLER, "mgdump", 2, 2, mgdump},
    {PROTOCOL_LRU_CRAWLER, "tocrawl", 2, 2, tocrawl},
    {PROTOCOL_LRU_CRAWLER, "sleep", 2, 2, crawler_sleep},
    {PROTOCOL_LRU_CRAWLER, "enable", 1, 1, enable},
    {PROTOCOL_LRU_CRAWLER, "disable", 1, 1, disable},
    {PROTOCOL_SLABS, "reassign", 3, 3, reassign},
    {PROTOCOL_SLABS, "automove", 2, WORDS_MAX, automove},
    {PROTOCOL_LRU, "tune", 5, WORDS_MAX, tune},
    {PROTOCOL_LRU, "mode", 2, WORDS_MAX, lru_mode},
    {PROTOCOL_LRU, "temp_ttl", 2, WORDS_MAX, temp_ttl},
    {PROTOCOL_DEBUGTIME, NULL, 1, 1, debugtime},
};

static struct asked ask(struct admin *admin, struct protocol_request *request,
                        struct protocol_reply *reply, uint32_t now_s, size_t *room_bytes)
{
    struct asked asked = {
        .admin = admin,
        .shared = admin->shared,
        .request = request,
        .reply = reply,
        .now_s = now_s,
        .room_bytes = room_bytes,
    };
    struct protocol_slice left = request->argument;

    while (asked.words_count < WORDS_MAX &&
           protocol_next_key(&left, &asked.words[asked.words_count])) {
        asked.words_count++;
    }
    return asked;
}

/* Of lru_crawler and debugtime, as in memcached, it is a word too many. */
static void heed_noreply(struct asked *asked)
{
    const enum protocol_verb verb = asked->request->verb;

    if ((verb == PROTOCOL_SLABS || verb == PROTOCOL_LRU) && asked->words_count > 0 &&
        protocol_slice_is(asked->words[asked->words_count - 1], "noreply")) {
        asked->request->noreply = true;
        asked->words_count--;
    }
}

enum command_outcome admin_execute(struct admin *admin, struct protocol_request *request,
                                   struct protocol_reply *reply, uint32_t now_s, size_t *room_bytes)
{
    struct asked asked = ask(admin, request, reply, now_s, room_bytes);
    struct dumping *dumping = find_dump(admin, request);

    if (dumping != NULL) {
        return go_on(&asked, dumping);
    }
    heed_noreply(&asked);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        if (row->verb == request->verb && asked.words_count >= row->words_min &&
            asked.words_count <= row->words_max &&
            (row->word == NULL || protocol_slice_is(asked.words[0], row->word))) {
            return row->execute(&asked);
        }
    }
    return answer(&asked, "ERROR");
}

/* ---- stats ---- */

/* stats cachedump <class> <limit> */
static enum command_outcome cachedump(struct asked *asked)
{
    uint64_t class, items_max;

    if (!asked->shared->config->dump_enabled) {
        return answer(asked, "CLIENT_ERROR stats cachedump not allowed");
    }
    if (asked->words_count < 3) {
        return answer(asked, "CLIENT_ERROR bad command line");
    }
    if (!protocol_token_natural(asked->words[1], UINT32_MAX, &class) ||
        !protocol_token_natural(asked->words[2], UINT32_MAX, &items_max)) {
        return answer(asked, BAD_LINE);
    }
    if (class > CLASSES_MAX) {
        return answer(asked, "CLIENT_ERROR Illegal slab id");
    }
    return begin_dump(asked, DUMP_CACHE, items_max, class != CLASS_OF_ITEMS, false);
}

/* stats detail on, off, dump: any beginning of the word will do */
static enum command_outcome detail(struct asked *asked)
{
    const struct command_shared *shared = asked->shared;
    const struct protocol_slice word =
        asked->words_count > 1 ? asked->words[1] : (struct protocol_slice){0};
    const bool on = protocol_slice_begins(word, "on");

    if (!shared->config->dump_enabled) {
        return answer(asked, "CLIENT_ERROR stats detail not allowed");
    }
    if (!on && !protocol_slice_begins(word, "off")) {
        return protocol_slice_begins(word, "dump")
                   ? begin_dump(asked, DUMP_PREFIXES, 0, false, false)
                   : answer(asked, "CLIENT_ERROR usage: stats detail on|off|dump");
    }
    if (!prefixes_switch(shared->prefixes, on)) {
        return answer(asked, NO_MEMORY);
    }
    control_open(shared->control)->detail_enabled = on;
    control_close(shared->control);
    return answer(asked, "OK");
}

bool admin_stats(struct admin *admin, struct protocol_request *request,
                 struct protocol_reply *reply, uint32_t now_s, size_t *room_bytes,
                 enum command_outcome *outcome)
{
    struct asked asked = ask(admin, request, reply, now_s, room_bytes);
    struct dumping *dumping = find_dump(admin, request);

    if (dumping != NULL) {
        *outcome = go_on(&asked, dumping);
        return true;
    }
    if (asked.words_count == 0 || protocol_slice_begins(asked.words[0], "reset")) {
        return false;
    }
    /* In this order: it decides what a beginning means. */
    if (protocol_slice_begins(asked.words[0], "detail")) {
        *outcome = detail(&asked);
    } else if (protocol_slice_begins(asked.words[0], "settings")) {
        return false;
    } else if (protocol_slice_begins(asked.words[0], "cachedump")) {
        *outcome = cachedump(&asked);
    } else if (protocol_slice_is(asked.words[0], "sizes") && admin->shared->config->track_sizes) {
        *outcome = begin_dump(&asked, DUMP_SIZES, 0, false, false);
    } else {
        return false;
    }
    return true;
}

/* ---- making one ---- */

struct admin *admin_new(const struct command_shared *shared)
{
    struct admin *admin = calloc(1, sizeof(*admin));

    if (admin == NULL) {
        return NULL;
    }
    admin->shared = shared;
    LIST_INIT(&admin->dumps);
    return admin;
}

void admin_free(struct admin *admin)
{
    if (admin == NULL) {
        return;
    }
    while (!LIST_EMPTY(&admin->dumps)) {
        end_dump(admin, LIST_FIRST(&admin->dumps));
    }
    free(admin);
}
