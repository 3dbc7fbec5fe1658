#include "clients/ctl_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEVIATIONS 1.96 /* within which 95 of 100 lie */

struct ctl_sample *ctl_sample_new(size_t room)
{
    struct ctl_sample *sample = calloc(1, sizeof(*sample));

    if (sample == NULL)
        return NULL;
    sample->items = calloc(room, sizeof(*sample->items));
    sample->room = room;
    sample->random.state = 1;
    if (sample->items != NULL)
        return sample;
    free(sample);
    return NULL;
}

void ctl_sample_free(struct ctl_sample *sample)
{
    if (sample == NULL)
        return;
    free(sample->items);
    free(sample);
}

/* ---- prefixes ---- */

static struct ctl_prefix *find_name(struct ctl_sample *sample, const char *name)
{
    uint64_t hash = 0;
    size_t at;

    for (const char *byte = name; *byte != '\0'; byte++)
        hash = load_mix64(hash * 31 + (uint8_t)*byte);
    for (at = hash % CTL_PREFIXES_MAX; sample->prefixes[at].name[0] != '\0';
         at = (at + 1) % CTL_PREFIXES_MAX) {
        if (strcmp(sample->prefixes[at].name, name) == 0)
            return &sample->prefixes[at];
    }
    /* A quarter of the places stays free, so that look-ups of new names are short. */
    if (sample->prefixes_count >= CTL_PREFIXES_MAX / 4 * 3 && strcmp(name, CTL_SAMPLE_OTHERS) != 0)
        return find_name(sample, CTL_SAMPLE_OTHERS);
    sample->prefixes_count++;
    (void)snprintf(sample->prefixes[at].name, CTL_PREFIX_BYTES, "%s", name);
    return &sample->prefixes[at];
}

static struct ctl_prefix *find_prefix(struct ctl_sample *sample, const struct ctl_known *known)
{
    const uint8_t *colon = memchr(known->key, ':', known->key_bytes);
    char name[CTL_PREFIX_BYTES] = CTL_SAMPLE_WITHOUT;

    if (colon != NULL) {
        size_t bytes = (size_t)(colon - known->key) + 1;

        bytes = bytes < sizeof(name) ? bytes : sizeof(name) - 1;
        for (size_t i = 0; i < bytes; i++)
            name[i] = known->key[i] > ' ' && known->key[i] < 0x7f ? (char)known->key[i] : '?';
        name[bytes] = '\0';
    }
    return find_name(sample, name);
}

/* ---- the sample ---- */

void ctl_sample_add(struct ctl_sample *sample, const struct ctl_known *known)
{
    struct ctl_prefix *prefix = find_prefix(sample, known);
    uint64_t place = sample->seen;

    prefix->items++;
    prefix->there_bytes += known->bytes;
    sample->there_bytes += known->bytes;
    sample->seen++;
    if (sample->count == sample->room)
        place = load_random_below(&sample->random, sample->seen);
    else
        sample->count++;
    if (place < sample->room)
        sample->items[place] = *known;
}

static int compare_keys(const void *a, const void *b)
{
    const struct ctl_known *one = a;
    const struct ctl_known *other = b;
    size_t bytes = one->key_bytes < other->key_bytes ? one->key_bytes : other->key_bytes;
    int order = memcmp(one->key, other->key, bytes);

    return order != 0 ? order
                      : (one->key_bytes > other->key_bytes) - (one->key_bytes < other->key_bytes);
}

void ctl_sample_close(struct ctl_sample *sample)
{
    qsort(sample->items, sample->count, sizeof(*sample->items), compare_keys);
}

void ctl_sample_pair(struct ctl_sample *sample, const struct ctl_known *here)
{
    const struct ctl_known *there =
        bsearch(here, sample->items, sample->count, sizeof(*sample->items), compare_keys);
    struct ctl_prefix *prefix;

    if (there == NULL)
        return;
    prefix = find_prefix(sample, here);
    prefix->pairs++;
    prefix->here += (double)here->bytes;
    prefix->there += (double)there->bytes;
    prefix->here_here += (double)here->bytes * (double)here->bytes;
    prefix->here_there += (double)here->bytes * (double)there->bytes;
    prefix->there_there += (double)there->bytes * (double)there->bytes;
}

/* ---- estimates ---- */

struct ctl_estimate ctl_sample_estimate(const struct ctl_prefix *prefix, double ratio)
{
    const double pairs = (double)prefix->pairs;
    struct ctl_estimate estimate = {.bytes = ratio * (double)prefix->there_bytes, .error = 1};
    double spread, share;

    if (prefix->there <= 0)
        return estimate;
    ratio = prefix->here / prefix->there;
    estimate.bytes = ratio * (double)prefix->there_bytes;
    if (prefix->pairs < 2 || prefix->here <= 0)
        return estimate;
    /* Of what is left when the ratio is taken out. */
    spread =
        prefix->here_here - 2 * ratio * prefix->here_there + ratio * ratio * prefix->there_there;
    spread = spread > 0 ? spread / (pairs - 1) : 0;
    /* What was sampled is known: where it is all of them there is no error. */
    share = 1 - pairs / (double)prefix->items;
    share = share > 0 ? share : 0;
    estimate.error = DEVIATIONS * sqrt(spread * share / pairs) / (prefix->here / pairs);
    return estimate;
}

struct ctl_estimate ctl_sample_total(const struct ctl_sample *sample, double *ratio)
{
    struct ctl_estimate total = {0};
    double here = 0, there = 0, variance = 0;

    for (size_t i = 0; i < CTL_PREFIXES_MAX; i++) {
        here += sample->prefixes[i].here;
        there += sample->prefixes[i].there;
    }
    *ratio = there > 0 ? here / there : 0;
    for (size_t i = 0; i < CTL_PREFIXES_MAX; i++) {
        struct ctl_estimate one = ctl_sample_estimate(&sample->prefixes[i], *ratio);

        total.bytes += one.bytes;
        variance += one.error * one.bytes * one.error * one.bytes;
    }
    total.error = total.bytes > 0 ? sqrt(variance) / total.bytes : 1;
    return total;
}
