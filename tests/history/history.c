#include "tests/history/history.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/* ---- values ---- */

/* Pieces as digits of a number to this base, modulo 2^64: joined in any order of joining, the same
 * pieces in the same order give the same bits. */
#define BASE UINT64_C(0x9e3779b97f4a7c15)

struct history_value history_piece(uint64_t number)
{
    /* Mixed (Steele, Lea and Flood 2014), so that small numbers do not add up to each other. */
    uint64_t bits = number + BASE;
    bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
    return (struct history_value){bits ^ bits >> 31, 1};
}

struct history_value history_join(struct history_value first, struct history_value second)
{
    for (uint32_t i = 0; i < second.pieces; i++) {
        first.bits *= BASE;
    }
    return (struct history_value){first.bits + second.bits, first.pieces + second.pieces};
}

struct history_value history_number(uint64_t number)
{
    return (struct history_value){number, 0};
}

static bool same_value(struct history_value one, struct history_value other)
{
    return one.bits == other.bits && one.pieces == other.pieces;
}

/* ---- one key ---- */

struct state {
    struct history_value value; /* all zero where not present */
    bool present;
};

struct unique {
    uint64_t unique;
    struct history_value value;
};

/* A step of the order that is being tried. */
struct step {
    struct state before;
    uint16_t client;
    bool forced; /* nothing else need be tried in its place */
};

struct search {
    bool evicts;
    uint32_t key;
    size_t events_count; /* all clients' */
    struct history_event *events[HISTORY_CLIENTS_MAX];
    size_t counts[HISTORY_CLIENTS_MAX];
    size_t at[HISTORY_CLIENTS_MAX]; /* of each client, which comes next */
    struct unique *uniques;         /* sorted */
    size_t uniques_count;
    struct state state;
    struct step *steps;
    size_t steps_count;
    uint64_t *seen; /* hashes of what was tried; 0 is free */
    size_t seen_room;
    size_t seen_count;
    size_t deepest;
    struct history_fault *fault;
};

static int by_unique(const void *one, const void *other)
{
    const struct unique *a = one, *b = other;
    return a->unique < b->unique ? -1 : a->unique > b->unique;
}

static int by_value(const void *one, const void *other)
{
    const struct unique *a = one, *b = other;
    return a->value.bits < b->value.bits ? -1 : a->value.bits > b->value.bits;
}

/* The value that a unique was seen with. */
static const struct unique *find_unique(const struct search *search, uint64_t unique)
{
    const struct unique wanted = {.unique = unique};
    return bsearch(&wanted, search->uniques, search->uniques_count, sizeof(wanted), by_unique);
}

static bool complain(struct search *search, const char *what)
{
    search->fault->what = what;
    search->fault->key = search->key;
    return false;
}

/* Every unique with one value, and the other way round. */
static bool check_uniques(struct search *search)
{
    struct unique *uniques = search->uniques;

    for (size_t client = 0; client < HISTORY_CLIENTS_MAX; client++) {
        for (size_t i = 0; i < search->counts[client]; i++) {
            const struct history_event *event = &search->events[client][i];
            if (event->operation == HISTORY_GET && event->answer == HISTORY_DONE &&
                event->argument != 0) {
                uniques[search->uniques_count++] = (struct unique){event->argument, event->value};
            }
        }
    }
    qsort(uniques, search->uniques_count, sizeof(uniques[0]), by_value);
    for (size_t i = 1; i < search->uniques_count; i++) {
        if (same_value(uniques[i].value, uniques[i - 1].value) &&
            uniques[i].unique != uniques[i - 1].unique) {
            return complain(search, "one value was read with two uniques");
        }
    }
    qsort(uniques, search->uniques_count, sizeof(uniques[0]), by_unique);
    for (size_t i = 1; i < search->uniques_count; i++) {
        if (uniques[i].unique == uniques[i - 1].unique &&
            !same_value(uniques[i].value, uniques[i - 1].value)) {
            return complain(search, "two values were read with one unique");
        }
    }
    return true;
}

static struct state holding(struct history_value value)
{
    return (struct state){value, true};
}

static struct history_value count_on(const struct state *state, const struct history_event *event)
{
    const uint64_t number = state->value.bits, by = event->argument;

    if (event->operation == HISTORY_INCR) {
        return history_number(number + by);
    }
    return history_number(number > by ? number - by : 0);
}

/* What the cell holds after an event was answered as it was by an item; false where it cannot have
 * been. */
static bool follow_item(const struct search *search, const struct state *state,
                        const struct history_event *event, struct state *after)
{
    const struct unique *unique;

    *after = *state;
    switch ((enum history_operation)event->operation) {
    case HISTORY_GET:
        return same_value(state->value, event->value);
    case HISTORY_TOUCH:
        return true;
    case HISTORY_ADD:
        return event->answer == HISTORY_REFUSED;
    case HISTORY_REPLACE:
        *after = holding(event->value);
        return true;
    case HISTORY_APPEND:
        *after = holding(history_join(state->value, event->value));
        return state->value.pieces > 0;
    case HISTORY_PREPEND:
        *after = holding(history_join(event->value, state->value));
        return state->value.pieces > 0;
    case HISTORY_CAS:
        unique = find_unique(search, event->argument);
        if (event->answer == HISTORY_DONE) {
            *after = holding(event->value);
        }
        return (unique != NULL && same_value(unique->value, state->value)) ==
               (event->answer == HISTORY_DONE);
    case HISTORY_DELETE:
        *after = (struct state){.present = false};
        return true;
    case HISTORY_INCR:
    case HISTORY_DECR:
        *after = holding(event->value);
        return state->value.pieces == 0 && same_value(count_on(state, event), event->value);
    case HISTORY_SET:
    case HISTORY_FLUSH:
        break;
    }
    assert(false);
    return false;
}

/* What the cell holds after an event; false where the answer cannot have been given. */
static bool follow(const struct search *search, const struct history_event *event,
                   struct state *after)
{
    const struct state *state = &search->state;
    const bool needs_none = event->answer == HISTORY_MISSED ||
                            (event->operation == HISTORY_ADD && event->answer == HISTORY_DONE);

    *after = *state;
    if (event->answer == HISTORY_FAILED) {
        return true;
    }
    if (event->operation == HISTORY_FLUSH) {
        *after = (struct state){.present = false};
        return true;
    }
    if (event->operation == HISTORY_SET) {
        *after = holding(event->value);
        return true;
    }
    if (!needs_none) {
        return state->present && follow_item(search, state, event, after);
    }
    if (state->present && !search->evicts) {
        return false;
    }
    *after =
        event->operation == HISTORY_ADD ? holding(event->value) : (struct state){.present = false};
    return true;
}

/* ---- the search ---- */

/* True the first time that what comes next of each client, and the cell's state, are these. */
static bool is_new(struct search *search)
{
    uint64_t hash = search->state.present ? history_piece(search->state.value.bits).bits : 0;

    for (size_t client = 0; client < HISTORY_CLIENTS_MAX; client++) {
        hash = history_piece(hash ^ search->at[client]).bits;
    }
    hash |= 1;
    if (2 * search->seen_count >= search->seen_room) {
        uint64_t *old = search->seen;
        const size_t old_room = search->seen_room;
        search->seen_room = old_room == 0 ? 1024 : 2 * old_room;
        search->seen = calloc(search->seen_room, sizeof(hash));
        assert(search->seen != NULL);
        for (size_t i = 0; i < old_room; i++) {
            size_t at = old[i] >> 1 & (search->seen_room - 1);
            while (old[i] != 0 && search->seen[at] != 0) {
                at = (at + 1) & (search->seen_room - 1);
            }
            search->seen[at] = old[i] != 0 ? old[i] : search->seen[at];
        }
        free(old);
    }
    size_t at = hash >> 1 & (search->seen_room - 1);
    while (search->seen[at] != 0) {
        if (search->seen[at] == hash) {
            return false;
        }
        at = (at + 1) & (search->seen_room - 1);
    }
    search->seen[at] = hash;
    search->seen_count++;
    return true;
}

static const struct history_event *next_of(const struct search *search, size_t client)
{
    return search->at[client] < search->counts[client] ? &search->events[client][search->at[client]]
                                                       : NULL;
}

/* Nothing that was sent after this can come next: something else had been answered before. */
static uint64_t horizon_ns(const struct search *search)
{
    uint64_t least = UINT64_MAX;

    for (size_t client = 0; client < HISTORY_CLIENTS_MAX; client++) {
        const struct history_event *event = next_of(search, client);
        if (event != NULL && event->answered_ns < least) {
            least = event->answered_ns;
        }
    }
    return least;
}

static void take(struct search *search, size_t client, const struct state *after, bool forced)
{
    search->steps[search->steps_count++] = (struct step){search->state, (uint16_t)client, forced};
    search->at[client]++;
    search->state = *after;
}

/* Whether an event changes nothing, wherever in the order it comes. */
static bool only_looks(const struct history_event *event)
{
    return event->answer != HISTORY_DONE || event->operation == HISTORY_GET ||
           event->operation == HISTORY_TOUCH;
}

/* One step further, by one of the clients from @first on; false where none can make it. What only
 * looks is taken as soon as it fits, whoever's it is: it cannot be in the way of anything. */
static bool go_on(struct search *search, size_t first)
{
    const uint64_t horizon = horizon_ns(search);
    struct state after;

    for (size_t client = 0; client < HISTORY_CLIENTS_MAX && first == 0; client++) {
        const struct history_event *event = next_of(search, client);
        if (event != NULL && event->sent_ns <= horizon && only_looks(event) &&
            follow(search, event, &after) && after.present == search->state.present) {
            take(search, client, &after, true);
            return true;
        }
    }
    for (size_t client = first; client < HISTORY_CLIENTS_MAX; client++) {
        const struct history_event *event = next_of(search, client);
        if (event == NULL || event->sent_ns > horizon || !follow(search, event, &after)) {
            continue;
        }
        take(search, client, &after, false);
        if (is_new(search)) {
            return true;
        }
        search->state = search->steps[--search->steps_count].before;
        search->at[client]--;
    }
    return false;
}

/* Undoes steps up to the last that had alternatives; the next client to try there. Returns false
 * where there is none. */
static bool go_back(struct search *search, size_t *first)
{
    while (search->steps_count > 0) {
        const struct step *step = &search->steps[--search->steps_count];
        search->state = step->before;
        search->at[step->client]--;
        if (!step->forced) {
            *first = step->client + 1u;
            return true;
        }
    }
    return false;
}

static void note_deepest(struct search *search)
{
    struct history_fault *fault = search->fault;

    if (search->steps_count < search->deepest) {
        return;
    }
    search->deepest = search->steps_count;
    fault->present = search->state.present;
    fault->value = search->state.value;
    fault->next_count = 0;
    for (size_t client = 0; client < HISTORY_CLIENTS_MAX; client++) {
        const struct history_event *event = next_of(search, client);
        if (event != NULL) {
            fault->next[fault->next_count++] = *event;
        }
    }
}

static bool find_order(struct search *search)
{
    size_t first = 0;

    while (search->steps_count < search->events_count) {
        if (go_on(search, first)) {
            first = 0;
            continue;
        }
        note_deepest(search);
        if (!go_back(search, &first)) {
            return complain(search, "no order of the writes explains what was answered");
        }
    }
    return true;
}

/* ---- all keys ---- */

static bool check_key(struct search *search)
{
    search->uniques = malloc(search->events_count * sizeof(search->uniques[0]));
    search->steps = malloc(search->events_count * sizeof(search->steps[0]));
    assert(search->uniques != NULL && search->steps != NULL);
    const bool good = check_uniques(search) && find_order(search);
    free(search->uniques);
    free(search->steps);
    free(search->seen);
    return good;
}

/* Flushes behind everything, then by key, client and time. */
static int by_key(const void *one, const void *other)
{
    const struct history_event *a = one, *b = other;

    if (a->key != b->key) {
        return a->key < b->key ? -1 : 1;
    }
    if (a->client != b->client) {
        return a->client < b->client ? -1 : 1;
    }
    return a->sent_ns < b->sent_ns ? -1 : a->sent_ns > b->sent_ns;
}

static int by_client(const void *one, const void *other)
{
    const struct history_event *const *a = one, *const *b = other;

    if ((*a)->client != (*b)->client) {
        return (*a)->client < (*b)->client ? -1 : 1;
    }
    if ((*a)->sent_ns != (*b)->sent_ns) {
        return (*a)->sent_ns < (*b)->sent_ns ? -1 : 1;
    }
    return *a < *b ? -1 : *a > *b;
}

/* A key's events and all flushes, by client, in memory of their own. */
static bool check_group(struct history_event *events, size_t count,
                        const struct history_event *flushes, size_t flushes_count, bool evicts,
                        struct history_fault *fault)
{
    const size_t all = count + flushes_count;
    const struct history_event **order = malloc(all * sizeof(order[0]));
    struct history_event *copies = malloc(all * sizeof(copies[0]));
    struct search search = {
        .evicts = evicts, .key = events[0].key, .events_count = all, .fault = fault};

    assert(order != NULL && copies != NULL);
    for (size_t i = 0; i < all; i++) {
        order[i] = i < count ? &events[i] : &flushes[i - count];
    }
    qsort(order, all, sizeof(order[0]), by_client);
    for (size_t i = 0; i < all; i++) {
        const size_t client = order[i]->client;
        copies[i] = *order[i];
        assert(client < HISTORY_CLIENTS_MAX && copies[i].sent_ns <= copies[i].answered_ns);
        search.events[client] = search.counts[client]++ == 0 ? &copies[i] : search.events[client];
    }
    free(order);
    const bool good = check_key(&search);
    free(copies);
    return good;
}

bool history_check(struct history_event *events, size_t count, bool evicts,
                   struct history_fault *fault)
{
    size_t keyed = 0;
    bool good = true;

    *fault = (struct history_fault){.what = NULL};
    qsort(events, count, sizeof(events[0]), by_key);
    while (keyed < count && events[keyed].key != HISTORY_ALL_KEYS) {
        keyed++;
    }
    for (size_t at = 0, end = 0; good && at < keyed; at = end) {
        while (end < keyed && events[end].key == events[at].key) {
            end++;
        }
        good = check_group(events + at, end - at, events + keyed, count - keyed, evicts, fault);
    }
    return good;
}

static void print_event(FILE *file, const struct history_event *event)
{
    static const char *const operations[] = {"get",     "touch",  "set",     "add",
                                             "replace", "append", "prepend", "cas",
                                             "delete",  "incr",   "decr",    "flush"};
    static const char *const answers[] = {"done", "missed", "refused", "failed"};

    (void)fprintf(file,
                  "  client %2u, %" PRIu64 " to %" PRIu64 " ns: %s %s, value %016" PRIx64
                  " of %" PRIu32 " pieces, argument %" PRIu64 "\n",
                  event->client, event->sent_ns, event->answered_ns, operations[event->operation],
                  answers[event->answer], event->value.bits, event->value.pieces, event->argument);
}

void history_print(FILE *file, const struct history_fault *fault)
{
    (void)fprintf(file, "key %" PRIu32 ": %s\n", fault->key, fault->what);
    if (fault->next_count == 0) {
        return;
    }
    (void)fprintf(file, "the longest order ends with ");
    if (fault->present) {
        (void)fprintf(file, "value %016" PRIx64 " of %" PRIu32 " pieces", fault->value.bits,
                      fault->value.pieces);
    } else {
        (void)fprintf(file, "no item");
    }
    (void)fprintf(file, "; none of these can follow:\n");
    for (unsigned i = 0; i < fault->next_count; i++) {
        print_event(file, &fault->next[i]);
    }
}
