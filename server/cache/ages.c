#include "server/cache/ages.h"

#include <string.h>

/* The mark that is missed least: its neighbours are near each other for their age. */
static unsigned find_spare(const struct ages *ages, uint32_t now_s)
{
    unsigned spare = 1;
    uint64_t spare_gap = UINT64_MAX, spare_age = 1;
    for (unsigned i = 1; i + 1 < ages->count; i++) {
        uint64_t gap = ages->seconds[i + 1] - ages->seconds[i - 1];
        uint64_t age = now_s - ages->seconds[i] + 1u;
        if (spare_gap == UINT64_MAX || gap * spare_age < spare_gap * age) {
            spare = i;
            spare_gap = gap;
            spare_age = age;
        }
    }
    return spare;
}

static void remove_mark(struct ages *ages, unsigned mark)
{
    unsigned behind = --ages->count - mark;
    memmove(&ages->seconds[mark], &ages->seconds[mark + 1], behind * sizeof(ages->seconds[0]));
    memmove(&ages->sequences[mark], &ages->sequences[mark + 1],
            behind * sizeof(ages->sequences[0]));
}

void ages_note(struct ages *ages, uint64_t sequence, uint32_t now_s)
{
    if (ages->count > 0 &&
        (now_s <= ages->seconds[ages->count - 1] || sequence <= ages->sequences[ages->count - 1]))
        return;
    if (ages->count == AGES_MARKS)
        remove_mark(ages, find_spare(ages, now_s));
    ages->seconds[ages->count] = now_s;
    ages->sequences[ages->count++] = sequence;
}

uint32_t ages_of(const struct ages *ages, uint64_t sequence, uint32_t now_s)
{
    unsigned from = 0, to = ages->count;
    while (from < to) {
        unsigned middle = (from + to) / 2;
        if (ages->sequences[middle] < sequence)
            from = middle + 1;
        else
            to = middle;
    }
    /* Another thread's clock may stand a moment behind. */
    return from < ages->count && ages->seconds[from] < now_s ? now_s - ages->seconds[from] : 0;
}
