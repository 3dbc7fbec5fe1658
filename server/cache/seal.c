#include "server/cache/seal.h"

#include "server/cache/hash.h"

/* Numbers of records are below; of a log's word and a page's chain. */
#define NUMBER_WORD  0xffffu
#define NUMBER_SHIFT 16u
#define TAG_SHIFT    3u

/* The last step of SplitMix64 (Steele, Lea, Flood 2014): each bit of @hash and @place changes half
 * of the result. */
static uint64_t mix(const struct seals *seals, uint64_t hash, uint64_t place)
{
    uint64_t mixed = (hash ^ seals->secret) + place * 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

static uint64_t place_of(struct zbud_handle log, unsigned number, unsigned tag)
{
    return ((uint64_t)log.bits << NUMBER_SHIFT | number) << TAG_SHIFT | tag;
}

/* Two a page, in the order of handles, the first of which is 2. */
static uint32_t *seal_at(const struct seals *seals, struct zbud_handle log)
{
    return (uint32_t *)(void *)seals->words + (log.bits - ZBUD_HANDLE_FIRST);
}

void seal_write(const struct seals *seals, struct zbud_handle log, uint32_t seal)
{
    __atomic_store_n(seal_at(seals, log), seal, __ATOMIC_RELEASE);
}

uint32_t seal_read(const struct seals *seals, struct zbud_handle log)
{
    return *seal_at(seals, log);
}

uint32_t seal_of_word(const struct seals *seals, struct zbud_handle log, uint64_t word)
{
    return (uint32_t)mix(seals, word, place_of(log, NUMBER_WORD, 0)) & ~1u;
}

uint32_t seal_of_record(const struct seals *seals, const struct seal_record *record)
{
    uint64_t hash = hash_bytes(record->bytes, record->count);
    return (uint32_t)mix(seals, hash, place_of(record->log, record->number, record->tag)) & ~1u;
}

uint32_t seal_log(const struct seals *seals, const struct zbud_pool *pool, struct zbud_handle log)
{
    uint32_t seal = seal_of_word(seals, log, zbud_log_word(pool, log));
    unsigned records = zbud_log_records(pool, log);
    for (unsigned number = 0; number < records; number++) {
        struct seal_record record = {.log = log, .number = number};
        record.bytes = zbud_log_record(pool, log, number, &record.count, &record.tag);
        if (record.bytes != NULL)
            seal += seal_of_record(seals, &record);
    }
    return seal;
}

static uint64_t page_word(const struct seals *seals, const struct zbud_arena *arena, uint32_t page)
{
    uint64_t hash = hash_bytes(zbud_arena_page(arena, page), ZBUD_PAGE_BYTES);
    uint64_t place = (uint64_t)page << 32 | zbud_arena_next(arena, page);
    return mix(seals, hash, place) | 1;
}

void seal_page(const struct seals *seals, const struct zbud_arena *arena, uint32_t page)
{
    seals->words[page] = page_word(seals, arena, page);
}

void seal_chain(const struct seals *seals, struct zbud_arena *arena, uint32_t first_page)
{
    if (seals->words == NULL)
        return;
    for (uint32_t page = first_page; page != ZBUD_PAGE_NONE; page = zbud_arena_next(arena, page))
        seal_page(seals, arena, page);
}

bool seal_holds_page(const struct seals *seals, const struct zbud_arena *arena, uint32_t page)
{
    return seal_is_large(seals->words[page]) && seals->words[page] == page_word(seals, arena, page);
}
