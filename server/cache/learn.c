#include "server/cache/learn.h"

#include "server/cache/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_BYTES_MEAN_MIN 64u
#define CHECK_PART            5u   /* one sample in so many is not learned from, but judges */
#define GROUP_PART            256u /* a group has at least this part of the samples' bytes */
#define GROUP_COUNT_MIN       8u
#define GROUPS_MAX            (CLASSES_FEATURES_MAX * GROUP_PART)
#define FEATURES_COUNTED      8192u
#define TESTS_MAX             12u /* samples by which a group judges dictionaries */
#define TEST_PART             3u  /* one in so many of a group's samples */
/* A group leads when its own samples as a dictionary serve it so much better than any so far. Of
 * 16 dictionaries for the mix: 8 % and 3 % come to the same ratio. */
#define LEAD_PCT              5u
#define TRAIN_ROUNDS          2u
/* What some samples as they are, cut to half a KiB, save others: random bytes and base64 of them
 * 0 %, contents of corpus files 13 % (binary) to 78 %, short matches of 3,000 words 7 %. */
#define PROMISE_PCT           1u
/* Where there are classes: .6 % of the mix, served by 24 good ones. */
#define PROMISE_AGAIN_PCT     10u
#define LEADERS_MAX           (2 * CLASSES_MAX)
#define NO_GROUP              UINT16_MAX

/* How many bytes of samples have a feature. */
struct feature_bytes {
    uint32_t feature; /* 0: free */
    uint32_t bytes;
};

struct group {
    uint32_t feature;
    uint16_t found; /* before they were sorted, its place among them */
    unsigned count;
    size_t bytes;
    unsigned tests[TESTS_MAX];
    unsigned tests_count;
    size_t tests_bytes;
    uint32_t costs[LEADERS_MAX]; /* what its tests come to with each leader's dictionary */
};

struct leader {
    const struct codec_dictionary *dictionary;
    struct codec_dictionary *fresh; /* the same, where it is not in the table yet */
    unsigned number;                /* in the table; 0: fresh */
    bool gone;
};

struct learning {
    const struct learn_task *task;
    const struct samples *samples;
    size_t at[SAMPLES_MAX]; /* where each sample lies */
    uint16_t group_of[SAMPLES_MAX];
    uint8_t leader_of[SAMPLES_MAX];
    struct feature_bytes features[FEATURES_COUNTED];
    unsigned groups_count;
    struct group groups[GROUPS_MAX];
    unsigned leaders_count;
    struct leader leaders[LEADERS_MAX];
    size_t gathered_bytes[SAMPLES_MAX];
    struct classes_vote votes[SAMPLES_MAX * CLASSES_FEATURES_MAX];
    uint8_t gathered[]; /* as large as the samples, or a dictionary */
};

/* Many tiny samples teach nothing that fewer would not, and cost memory by count. */
static unsigned count_max_for(size_t data_bytes)
{
    size_t count = data_bytes / SAMPLE_BYTES_MEAN_MIN;
    return count < SAMPLES_MAX ? (unsigned)count : SAMPLES_MAX;
}

void samples_init(struct samples *samples, size_t data_bytes)
{
    samples->data_bytes = data_bytes;
    samples->count_max = count_max_for(data_bytes);
    samples->used = 0;
    samples->count = 0;
    memset(samples->keys, 0, sizeof(samples->keys));
}

uint8_t *samples_room(struct samples *samples, size_t bytes)
{
    if (samples->count == samples->count_max || samples->used + bytes > samples->data_bytes)
        return NULL;
    return samples->data + samples->used;
}

void samples_add(struct samples *samples, size_t bytes, size_t key_bytes)
{
    uint64_t hash = hash_key(samples->data + samples->used, key_bytes, 0);
    uint32_t key = (uint32_t)(hash >> 32) | 1;
    size_t at = (uint32_t)hash % (2 * SAMPLES_MAX);
    while (samples->keys[at] != 0) {
        if (samples->keys[at] == key)
            return;
        at = (at + 1) % (2 * SAMPLES_MAX);
    }
    samples->keys[at] = key;
    samples->key_bytes[samples->count] = (uint8_t)key_bytes;
    samples->bytes[samples->count++] = bytes;
    samples->used += bytes;
}

/* Bytes of struct learning for a sample. */
#define LEARNING_SAMPLE_BYTES                                  \
    (2 * sizeof(size_t) + sizeof(uint16_t) + sizeof(uint8_t) + \
     CLASSES_FEATURES_MAX * sizeof(struct classes_vote))

static size_t gathered_room(size_t data_bytes)
{
    return data_bytes > CODEC_DICTIONARY_BYTES ? data_bytes : CODEC_DICTIONARY_BYTES;
}

size_t learn_bytes(size_t data_bytes, unsigned classes_max)
{
    /* Of what is sized for SAMPLES_MAX, only the part for as many as there can be is touched. */
    size_t arrays_bytes = SAMPLES_MAX * LEARNING_SAMPLE_BYTES;
    return sizeof(struct learning) - arrays_bytes +
           count_max_for(data_bytes) * LEARNING_SAMPLE_BYTES + gathered_room(data_bytes) +
           dictionary_train_bytes() + classes_bytes() +
           (classes_max + 2) * codec_dictionary_bytes();
}

static bool judges(unsigned sample)
{
    return sample % CHECK_PART == CHECK_PART - 1;
}

static const uint8_t *sample_data(const struct learning *learning, unsigned sample)
{
    return learning->samples->data + learning->at[sample];
}

static unsigned sample_features(const struct learning *learning, unsigned sample,
                                uint32_t features[CLASSES_FEATURES_MAX])
{
    return classes_features(sample_data(learning, sample), learning->samples->key_bytes[sample],
                            learning->samples->bytes[sample], features);
}

static size_t compressed_bytes(struct codec *codec, const struct codec_dictionary *dictionary,
                               const uint8_t *bytes, size_t count)
{
    const uint8_t *block;
    size_t compressed = codec_compress(codec, CODEC_FAST, dictionary, bytes, count, &block);
    return compressed > 0 ? compressed : count;
}

static size_t compressed(const struct learning *learning, const struct codec_dictionary *dictionary,
                         unsigned sample)
{
    return compressed_bytes(learning->task->codec, dictionary, sample_data(learning, sample),
                            learning->samples->bytes[sample]);
}

/* ---- groups ---- */

/* A feature's count, new where there is room for one more; NULL where there is none. */
static struct feature_bytes *count_of(struct learning *learning, uint32_t feature)
{
    size_t at = feature % FEATURES_COUNTED;
    for (size_t probes = 0; probes < FEATURES_COUNTED / 2; probes++) {
        struct feature_bytes *count = &learning->features[at];
        if (count->feature == feature)
            return count;
        if (count->feature == 0) {
            count->feature = feature;
            return count;
        }
        at = (at + 1) % FEATURES_COUNTED;
    }
    return NULL;
}

static void count_features(struct learning *learning)
{
    for (unsigned i = 0; i < learning->samples->count; i++) {
        uint32_t features[CLASSES_FEATURES_MAX];
        unsigned count = sample_features(learning, i, features);
        for (unsigned j = 0; j < count; j++) {
            struct feature_bytes *counted = count_of(learning, features[j]);
            if (counted != NULL)
                counted->bytes += (uint32_t)learning->samples->bytes[i];
        }
    }
}

/* The rarest of a sample's features that is frequent enough; 0 for none. */
static uint32_t group_feature(struct learning *learning, unsigned sample)
{
    uint32_t features[CLASSES_FEATURES_MAX], rarest = 0, rarest_bytes = UINT32_MAX;
    unsigned count = sample_features(learning, sample, features);
    for (unsigned i = 0; i < count; i++) {
        const struct feature_bytes *counted = count_of(learning, features[i]);
        if (counted == NULL || counted->bytes < learning->samples->used / GROUP_PART ||
            counted->bytes >= rarest_bytes)
            continue;
        rarest = features[i];
        rarest_bytes = counted->bytes;
    }
    return rarest;
}

static uint16_t group_with(struct learning *learning, uint32_t feature)
{
    unsigned group = 0;
    if (feature == 0)
        return NO_GROUP;
    while (group < learning->groups_count && learning->groups[group].feature != feature)
        group++;
    if (group == learning->groups_count) {
        if (group == GROUPS_MAX)
            return NO_GROUP;
        learning->groups_count++;
        learning->groups[group].feature = feature;
    }
    return (uint16_t)group;
}

static int by_bytes(const void *one, const void *other)
{
    const struct group *a = one, *b = other;
    return a->bytes > b->bytes ? -1 : a->bytes < b->bytes;
}

/* Largest groups first: they lead, and smaller ones follow where they can. */
static void sort_groups(struct learning *learning)
{
    uint16_t sorted[GROUPS_MAX];
    for (unsigned i = 0; i < learning->groups_count; i++)
        learning->groups[i].found = (uint16_t)i;
    qsort(learning->groups, learning->groups_count, sizeof(learning->groups[0]), by_bytes);
    for (unsigned i = 0; i < learning->groups_count; i++)
        sorted[learning->groups[i].found] = (uint16_t)i;
    for (unsigned i = 0; i < learning->samples->count; i++) {
        if (learning->group_of[i] != NO_GROUP)
            learning->group_of[i] = sorted[learning->group_of[i]];
    }
}

static void make_groups(struct learning *learning)
{
    const struct samples *samples = learning->samples;
    count_features(learning);
    for (unsigned i = 0; i < samples->count; i++) {
        uint16_t number = group_with(learning, group_feature(learning, i));
        learning->group_of[i] = number;
        if (number != NO_GROUP)
            learning->groups[number].bytes += samples->bytes[i];
    }
    sort_groups(learning);
    for (unsigned i = 0; i < samples->count; i++) {
        uint16_t number = learning->group_of[i];
        if (number == NO_GROUP || judges(i))
            continue;
        struct group *group = &learning->groups[number];
        if (group->count++ % TEST_PART == 0 && group->tests_count < TESTS_MAX) {
            group->tests[group->tests_count++] = i;
            group->tests_bytes += samples->bytes[i];
        }
    }
}

/* ---- leaders ---- */

static uint32_t cost(const struct learning *learning, const struct group *group,
                     const struct codec_dictionary *dictionary)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < group->tests_count; i++)
        bytes += compressed(learning, dictionary, group->tests[i]);
    return (uint32_t)bytes;
}

static bool is_test(const struct group *group, unsigned sample)
{
    for (unsigned i = 0; i < group->tests_count; i++) {
        if (group->tests[i] == sample)
            return true;
    }
    return false;
}

/* A group's samples, less its tests, as they are: the quickest dictionary there is. */
static struct codec_dictionary *own_dictionary(struct learning *learning, unsigned number)
{
    const struct group *group = &learning->groups[number];
    size_t used = 0;
    for (unsigned i = 0; i < learning->samples->count; i++) {
        size_t bytes = learning->samples->bytes[i];
        if (learning->group_of[i] != number || judges(i) || is_test(group, i) ||
            used + bytes > CODEC_DICTIONARY_BYTES)
            continue;
        memcpy(learning->gathered + used, sample_data(learning, i), bytes);
        used += bytes;
    }
    return used > 0 ? codec_dictionary_new(learning->gathered, used) : NULL;
}

static unsigned add_leader(struct learning *learning, const struct codec_dictionary *dictionary,
                           struct codec_dictionary *fresh, unsigned number)
{
    learning->leaders[learning->leaders_count] = (struct leader){dictionary, fresh, number, false};
    return learning->leaders_count++;
}

/* A dictionary for all: the current one, unless one trained anew is better by what counts. */
static bool lead_common(struct learning *learning)
{
    const struct learn_task *task = learning->task;
    const struct samples *samples = learning->samples;
    unsigned number = classes_number(task->current, 0);
    unsigned trained = 0;
    size_t used = 0;
    for (unsigned i = 0; i < samples->count; i++) {
        if (judges(i))
            continue;
        memcpy(learning->gathered + used, sample_data(learning, i), samples->bytes[i]);
        learning->gathered_bytes[trained++] = samples->bytes[i];
        used += samples->bytes[i];
    }
    struct codec_dictionary *fresh =
        dictionary_train(learning->gathered, learning->gathered_bytes, trained);
    const struct codec_dictionary *current = dictionaries_get(task->dictionaries, number);
    if (current == NULL) {
        if (fresh != NULL)
            add_leader(learning, fresh, fresh, 0);
        return fresh != NULL;
    }
    size_t fresh_bytes = 0, current_bytes = 0;
    for (unsigned i = CHECK_PART - 1; fresh != NULL && i < samples->count; i += CHECK_PART) {
        fresh_bytes += compressed(learning, fresh, i);
        current_bytes += compressed(learning, current, i);
    }
    if (fresh_bytes * 100 < current_bytes * (100 - LEARN_BETTER_PCT)) {
        add_leader(learning, fresh, fresh, 0);
    } else {
        codec_dictionary_free(fresh);
        add_leader(learning, current, NULL, number);
    }
    return true;
}

static void find_leaders(struct learning *learning)
{
    const struct learn_task *task = learning->task;
    for (unsigned label = 1; label < classes_count(task->current); label++) {
        unsigned number = classes_number(task->current, label);
        add_leader(learning, dictionaries_get(task->dictionaries, number), NULL, number);
    }
    unsigned leaders_max = learning->leaders_count + task->classes_max - 1;
    if (leaders_max > LEADERS_MAX)
        leaders_max = LEADERS_MAX;
    for (unsigned i = 0; i < learning->groups_count; i++) {
        struct group *group = &learning->groups[i];
        uint32_t best = UINT32_MAX;
        if (group->count < GROUP_COUNT_MIN)
            continue;
        for (unsigned j = 0; j < learning->leaders_count; j++) {
            group->costs[j] = cost(learning, group, learning->leaders[j].dictionary);
            best = group->costs[j] < best ? group->costs[j] : best;
        }
        if (learning->leaders_count == leaders_max)
            continue;
        struct codec_dictionary *own = own_dictionary(learning, i);
        if (own != NULL && (uint64_t)cost(learning, group, own) * (100 + LEAD_PCT) < best * 100ull)
            add_leader(learning, own, own, 0);
        else
            codec_dictionary_free(own);
    }
    /* What came later may serve earlier groups too. */
    for (unsigned i = 0; i < learning->groups_count; i++) {
        struct group *group = &learning->groups[i];
        for (unsigned j = 0; j < learning->leaders_count; j++) {
            if (group->costs[j] == 0)
                group->costs[j] = cost(learning, group, learning->leaders[j].dictionary);
        }
    }
}

/* ---- pruning ---- */

/* The leader that serves a group best, but for @except. */
static unsigned best_leader(const struct learning *learning, const struct group *group,
                            unsigned except)
{
    unsigned best = 0;
    for (unsigned j = 1; j < learning->leaders_count; j++) {
        if (j != except && !learning->leaders[j].gone && group->costs[j] < group->costs[best])
            best = j;
    }
    return best;
}

/* Bytes of a full cache that each leader saves over the next best. */
static void count_benefits(const struct learning *learning, double benefits[LEADERS_MAX])
{
    double scale = (double)learning->task->limit_bytes / (double)learning->samples->used;
    memset(benefits, 0, LEADERS_MAX * sizeof(benefits[0]));
    for (unsigned i = 0; i < learning->groups_count; i++) {
        const struct group *group = &learning->groups[i];
        unsigned best = best_leader(learning, group, LEADERS_MAX);
        if (group->tests_bytes == 0 || best == 0)
            continue;
        uint32_t saved = group->costs[best_leader(learning, group, best)] - group->costs[best];
        benefits[best] += saved * scale * (double)group->bytes / (double)group->tests_bytes;
    }
}

/* One by one, for the groups of one that goes make others worth more. */
static void prune_leaders(struct learning *learning)
{
    double benefits[LEADERS_MAX];
    for (unsigned left = learning->leaders_count;; left--) {
        unsigned least = 0;
        count_benefits(learning, benefits);
        for (unsigned j = 1; j < learning->leaders_count; j++) {
            if (!learning->leaders[j].gone && (least == 0 || benefits[j] < benefits[least]))
                least = j;
        }
        if (least == 0 || (left <= learning->task->classes_max &&
                           benefits[least] >= (double)learning->task->price_bytes))
            break;
        learning->leaders[least].gone = true;
        codec_dictionary_free(learning->leaders[least].fresh);
        learning->leaders[least].fresh = NULL;
    }
    for (unsigned i = 0; i < learning->samples->count; i++) {
        unsigned group = learning->group_of[i];
        if (group != NO_GROUP)
            learning->leader_of[i] =
                (uint8_t)best_leader(learning, &learning->groups[group], LEADERS_MAX);
    }
}

/* ---- dictionaries and classes ---- */

/* For people: how the keys of a leader's largest group begin, up to the second delimiter. */
static void write_label(const struct learning *learning, unsigned leader,
                        char label[DICTIONARY_LABEL_BYTES])
{
    unsigned delimiters = 0, used = 0;
    for (unsigned i = 0; i < learning->samples->count && leader > 0; i++) {
        if (learning->leader_of[i] != leader)
            continue;
        const uint8_t *key = sample_data(learning, i);
        while (used < learning->samples->key_bytes[i] && used < DICTIONARY_LABEL_BYTES - 1 &&
               delimiters < 2) {
            uint8_t byte = key[used];
            delimiters += byte == ':' || byte == '/';
            label[used++] = (char)(byte > ' ' && byte < 0x7f ? byte : '?');
        }
        break;
    }
    if (leader == 0)
        label[used++] = '*';
    label[used] = '\0';
}

/* A dictionary from all of a leader's samples; NULL where those do not suffice. */
static struct codec_dictionary *train(struct learning *learning, unsigned number)
{
    size_t used = 0;
    unsigned count = 0;
    for (unsigned i = 0; i < learning->samples->count; i++) {
        size_t bytes = learning->samples->bytes[i];
        if (judges(i) || learning->leader_of[i] != number)
            continue;
        memcpy(learning->gathered + used, sample_data(learning, i), bytes);
        learning->gathered_bytes[count++] = bytes;
        used += bytes;
    }
    if (used > CODEC_DICTIONARY_BYTES)
        return dictionary_train(learning->gathered, learning->gathered_bytes, count);
    /* All there is fits: nothing needs to be chosen. */
    return count > 0 ? codec_dictionary_new(learning->gathered, used) : NULL;
}

/* What the samples of a leader that judge come to with a dictionary. */
static size_t judged(const struct learning *learning, unsigned number,
                     const struct codec_dictionary *dictionary)
{
    size_t bytes = 0;
    for (unsigned i = CHECK_PART - 1; i < learning->samples->count; i += CHECK_PART) {
        if (learning->leader_of[i] == number)
            bytes += compressed(learning, dictionary, i);
    }
    return bytes;
}

/* A fresh leader's dictionary is trained from all its samples. One that is in the table gives way
 * where that is better by what counts: it may be from when there was little to learn from. */
static void train_leader(struct learning *learning, unsigned number)
{
    struct leader *leader = &learning->leaders[number];
    struct codec_dictionary *trained = train(learning, number);
    if (trained == NULL)
        return;
    if (leader->number != 0 &&
        judged(learning, number, trained) * 100 >=
            judged(learning, number, leader->dictionary) * (100 - LEARN_BETTER_PCT)) {
        codec_dictionary_free(trained);
        return;
    }
    codec_dictionary_free(leader->fresh);
    leader->fresh = trained;
    leader->dictionary = trained;
    leader->number = 0;
}

/* Every sample goes to the leader that serves it best. */
static void choose_leaders(struct learning *learning)
{
    for (unsigned i = 0; i < learning->samples->count; i++) {
        size_t least = SIZE_MAX;
        for (unsigned j = 0; j < learning->leaders_count; j++) {
            size_t bytes = learning->leaders[j].gone
                               ? SIZE_MAX
                               : compressed(learning, learning->leaders[j].dictionary, i);
            if (bytes < least) {
                least = bytes;
                learning->leader_of[i] = (uint8_t)j;
            }
        }
    }
}

/* Mix, 24 classes of 2 MiB, ratio at level 1 / HC 3 with so many rounds: 1: 2.320 / 2.86, 2:
 * 2.321 / 2.88; values of some 20 bytes, which make no group of their own: 1.1 / 1.2 and 1.3 / 1.5.
 */
static void train_leaders(struct learning *learning)
{
    for (unsigned round = 0; round < TRAIN_ROUNDS; round++) {
        for (unsigned j = 1; j < learning->leaders_count; j++) {
            if (!learning->leaders[j].gone)
                train_leader(learning, j);
        }
        choose_leaders(learning);
    }
}

/* Every leader left has a number: @numbers, by label. False where the table is full. */
static bool number_leaders(struct learning *learning, unsigned *labels_count,
                           unsigned numbers[CLASSES_MAX], unsigned labels[LEADERS_MAX])
{
    const struct learn_task *task = learning->task;
    *labels_count = 0;
    for (unsigned j = 0; j < learning->leaders_count; j++) {
        struct leader *leader = &learning->leaders[j];
        char label[DICTIONARY_LABEL_BYTES];
        if (leader->gone)
            continue;
        if (leader->number == 0) {
            write_label(learning, j, label);
            leader->number =
                dictionaries_add(task->dictionaries, leader->fresh, label, task->now_s);
            if (leader->number == 0)
                return false;
            leader->fresh = NULL;
        }
        labels[j] = *labels_count;
        numbers[(*labels_count)++] = leader->number;
    }
    return true;
}

static struct classes *make_classes(struct learning *learning)
{
    unsigned numbers[CLASSES_MAX], labels[LEADERS_MAX], labels_count;
    size_t votes_count = 0;
    if (!number_leaders(learning, &labels_count, numbers, labels))
        return NULL;
    for (unsigned i = 0; i < learning->samples->count; i++) {
        uint32_t features[CLASSES_FEATURES_MAX];
        if (judges(i))
            continue;
        unsigned label = labels[learning->leader_of[i]];
        unsigned count = sample_features(learning, i, features);
        for (unsigned j = 0; j < count; j++)
            learning->votes[votes_count++] = (struct classes_vote){features[j], label};
    }
    return classes_new(learning->task->dictionaries, numbers, labels_count, learning->votes,
                       votes_count);
}

/* What the samples that judge come to. */
static uint64_t judge(const struct learning *learning, const struct classes *classes)
{
    const struct samples *samples = learning->samples;
    uint64_t sum = 0;
    for (unsigned i = CHECK_PART - 1; i < samples->count; i += CHECK_PART) {
        unsigned number = classes_choose(classes, sample_data(learning, i), samples->key_bytes[i],
                                         samples->bytes[i]);
        sum += compressed(learning, dictionaries_get(learning->task->dictionaries, number), i);
    }
    return sum;
}

static struct classes *learn_from(struct learning *learning)
{
    make_groups(learning);
    if (!lead_common(learning))
        return NULL;
    find_leaders(learning);
    prune_leaders(learning);
    train_leaders(learning);
    struct classes *classes = make_classes(learning);
    if (classes == NULL)
        return NULL;
    uint64_t now_bytes = judge(learning, learning->task->current);
    if (judge(learning, classes) * 100 > now_bytes * (100 - LEARN_BETTER_PCT)) {
        classes_free(classes);
        return NULL;
    }
    return classes;
}

struct classes *learn(const struct learn_task *task)
{
    assert(task->classes_max >= 1 && task->classes_max <= CLASSES_MAX);
    struct learning *learning = calloc(1, sizeof(*learning) + gathered_room(task->samples->used));
    if (learning == NULL)
        return NULL;
    learning->task = task;
    learning->samples = task->samples;
    for (unsigned i = 1; i < task->samples->count; i++)
        learning->at[i] = learning->at[i - 1] + task->samples->bytes[i - 1];
    struct classes *classes = learn_from(learning);
    for (unsigned j = 0; j < learning->leaders_count; j++)
        codec_dictionary_free(learning->leaders[j].fresh);
    free(learning);
    return classes;
}

/* ---- before learning ---- */

/* Every other sample, as far as they fit. */
static struct codec_dictionary *dictionary_of(const struct samples *samples)
{
    size_t used = 0, at = 0;
    uint8_t *bytes = malloc(CODEC_DICTIONARY_BYTES);
    if (bytes == NULL)
        return NULL;
    for (unsigned i = 0; i < samples->count; at += samples->bytes[i++]) {
        if (i % 2 == 0 && used + samples->bytes[i] <= CODEC_DICTIONARY_BYTES) {
            memcpy(bytes + used, samples->data + at, samples->bytes[i]);
            used += samples->bytes[i];
        }
    }
    struct codec_dictionary *dictionary = codec_dictionary_new(bytes, used);
    free(bytes);
    return dictionary;
}

bool learn_is_promising(const struct dictionaries *dictionaries, const struct classes *current,
                        const struct samples *samples, struct codec *codec)
{
    uint64_t now_bytes = 0, then_bytes = 0;
    size_t at = 0;
    struct codec_dictionary *dictionary = dictionary_of(samples);
    if (dictionary == NULL)
        return false;
    for (unsigned i = 0; i < samples->count; at += samples->bytes[i++]) {
        const uint8_t *data = samples->data + at;
        size_t bytes = samples->bytes[i];
        if (i % 2 == 0)
            continue;
        unsigned number = classes_choose(current, data, samples->key_bytes[i], bytes);
        size_t now = compressed_bytes(codec, dictionaries_get(dictionaries, number), data, bytes);
        size_t then = compressed_bytes(codec, dictionary, data, bytes);
        now_bytes += now;
        then_bytes += then < now ? then : now; /* what is served well stays */
    }
    codec_dictionary_free(dictionary);
    unsigned promise_pct = current == NULL ? PROMISE_PCT : PROMISE_AGAIN_PCT;
    return then_bytes * 100 < now_bytes * (100 - promise_pct);
}

size_t learn_look_bytes(void)
{
    return CODEC_DICTIONARY_BYTES + codec_dictionary_bytes();
}
