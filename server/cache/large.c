#include "server/cache/large.h"

#include <assert.h>
#include <string.h>

#define BLOCK_HEADER_BYTES 4u
#define BLOCK_RAW          0x80000000u
/* A page for which room was made may be lost to other threads, but not for ever. */
#define PAGE_TRIES         64u

void large_begin(struct large_writer *writer, struct zbud_arena *arena, large_room_fn *room,
                 void *owner)
{
    writer->arena = arena;
    writer->room = room;
    writer->owner = owner;
    writer->first_page = ZBUD_PAGE_NONE;
    writer->last_page = ZBUD_PAGE_NONE;
    writer->previous_page = ZBUD_PAGE_NONE;
    writer->last_fill = ZBUD_PAGE_BYTES;
    writer->stream_bytes = 0;
    writer->tail_bytes = 0;
}

static bool add_page(struct large_writer *writer)
{
    uint32_t page;
    unsigned tries = 0;
    while (zbud_arena_take(writer->arena, &page) != ZBUD_OK) {
        if (++tries == PAGE_TRIES || !writer->room(writer->owner))
            return false;
    }
    zbud_arena_link(writer->arena, page, ZBUD_PAGE_NONE);
    if (writer->last_page == ZBUD_PAGE_NONE)
        writer->first_page = page;
    else
        zbud_arena_link(writer->arena, writer->last_page, page);
    writer->previous_page = writer->last_page;
    writer->last_page = page;
    writer->last_fill = 0;
    return true;
}

static bool put_bytes(struct large_writer *writer, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        if (writer->last_fill == ZBUD_PAGE_BYTES && !add_page(writer))
            return false;
        size_t part = ZBUD_PAGE_BYTES - writer->last_fill;
        if (part > count)
            part = count;
        uint8_t *page = zbud_arena_page(writer->arena, writer->last_page);
        memcpy(page + writer->last_fill, bytes, part);
        writer->last_fill += part;
        writer->stream_bytes += part;
        bytes += part;
        count -= part;
    }
    return true;
}

bool large_put(struct large_writer *writer, const uint8_t *block, size_t block_bytes, bool raw)
{
    assert(block_bytes > 0 && block_bytes <= CODEC_BLOCK_BYTES);
    uint32_t header = (uint32_t)block_bytes | (raw ? BLOCK_RAW : 0);
    uint8_t bytes[BLOCK_HEADER_BYTES];
    memcpy(bytes, &header, sizeof(header));
    return put_bytes(writer, bytes, sizeof(bytes)) && put_bytes(writer, block, block_bytes);
}

bool large_put_entry(struct large_writer *writer, struct codec *codec, const uint8_t *entry,
                     size_t entry_bytes, bool compress)
{
    while (entry_bytes > 0) {
        size_t part = entry_bytes < CODEC_BLOCK_BYTES ? entry_bytes : CODEC_BLOCK_BYTES;
        const uint8_t *block = entry;
        size_t block_bytes =
            compress ? codec_compress(codec, CODEC_FAST, NULL, entry, part, &block) : 0;
        bool stored = block_bytes > 0 ? large_put(writer, block, block_bytes, false)
                                      : large_put(writer, entry, part, true);
        if (!stored)
            return false;
        entry += part;
        entry_bytes -= part;
    }
    return true;
}

void large_end(struct large_writer *writer)
{
    if (writer->last_fill > RECORD_TAIL_BYTES_MAX)
        return;
    memcpy(writer->tail, zbud_arena_page(writer->arena, writer->last_page), writer->last_fill);
    writer->tail_bytes = writer->last_fill;
    zbud_arena_give(writer->arena, writer->last_page);
    if (writer->previous_page == ZBUD_PAGE_NONE)
        writer->first_page = ZBUD_PAGE_NONE;
    else
        zbud_arena_link(writer->arena, writer->previous_page, ZBUD_PAGE_NONE);
}

void large_drop(struct large_writer *writer)
{
    if (writer->first_page != ZBUD_PAGE_NONE)
        zbud_arena_give_chain(writer->arena, writer->first_page);
    writer->first_page = ZBUD_PAGE_NONE;
}

static size_t tail_bytes(const struct record *record)
{
    return record->payload_bytes - record->key_bytes;
}

size_t large_pages(const struct record *record)
{
    size_t in_pages = record->stream_bytes - tail_bytes(record);
    return (in_pages + ZBUD_PAGE_BYTES - 1) / ZBUD_PAGE_BYTES;
}

/* Where reading stands: in the chain, then in the tail. */
struct reader {
    const struct zbud_arena *arena;
    const struct codec_dictionary *dictionary;
    uint32_t page;
    size_t page_at;
    size_t chain_left;
    const uint8_t *tail;
    size_t tail_left;
};

/* The stretch of the stream that lies in one piece from here on. */
static const uint8_t *piece(const struct reader *reader, size_t *bytes)
{
    if (reader->chain_left == 0) {
        *bytes = reader->tail_left;
        return reader->tail;
    }
    size_t left = ZBUD_PAGE_BYTES - reader->page_at;
    *bytes = left < reader->chain_left ? left : reader->chain_left;
    const uint8_t *page = zbud_arena_page(reader->arena, reader->page);
    return page + reader->page_at;
}

static void advance(struct reader *reader, size_t bytes)
{
    if (reader->chain_left == 0) {
        reader->tail += bytes;
        reader->tail_left -= bytes;
        return;
    }
    reader->chain_left -= bytes;
    reader->page_at += bytes;
    if (reader->page_at == ZBUD_PAGE_BYTES && reader->chain_left > 0) {
        reader->page = zbud_arena_next(reader->arena, reader->page);
        reader->page_at = 0;
    }
}

static bool read_bytes(struct reader *reader, uint8_t *out, size_t count)
{
    if (count > reader->chain_left + reader->tail_left)
        return false;
    while (count > 0) {
        size_t bytes;
        const uint8_t *from = piece(reader, &bytes);
        if (bytes > count)
            bytes = count;
        memcpy(out, from, bytes);
        advance(reader, bytes);
        out += bytes;
        count -= bytes;
    }
    return true;
}

/* A block that lies in one piece is decompressed from where it lies. */
static bool read_block(struct reader *reader, struct codec *codec, size_t stored_bytes,
                       uint8_t *out, size_t out_bytes)
{
    size_t bytes;
    const uint8_t *block = piece(reader, &bytes);
    if (bytes >= stored_bytes) {
        bool sound = codec_decompress(reader->dictionary, block, stored_bytes, out, out_bytes);
        advance(reader, stored_bytes);
        return sound;
    }
    uint8_t *scratch = codec_scratch(codec);
    return read_bytes(reader, scratch, stored_bytes) &&
           codec_decompress(reader->dictionary, scratch, stored_bytes, out, out_bytes);
}

static struct reader reader_of(const struct zbud_arena *arena, const struct record *record)
{
    return (struct reader){
        .arena = arena,
        .page = record->first_page,
        .chain_left = record->stream_bytes - tail_bytes(record),
        .tail = record->payload + record->key_bytes,
        .tail_left = tail_bytes(record),
    };
}

static bool read_header(struct reader *reader, uint32_t *header)
{
    uint8_t bytes[BLOCK_HEADER_BYTES];
    if (!read_bytes(reader, bytes, sizeof(bytes)))
        return false;
    memcpy(header, bytes, sizeof(*header));
    return true;
}

bool large_read(const struct zbud_arena *arena, const struct record *record,
                const struct codec_dictionary *dictionary, struct codec *codec, uint8_t *out)
{
    size_t left = record->key_bytes + record->value_bytes;
    struct reader reader = reader_of(arena, record);
    reader.dictionary = left <= CODEC_BLOCK_BYTES ? dictionary : NULL;
    while (left > 0) {
        size_t part = left < CODEC_BLOCK_BYTES ? left : CODEC_BLOCK_BYTES;
        uint32_t header;
        if (!read_header(&reader, &header))
            return false;
        size_t stored_bytes = header & ~BLOCK_RAW;
        bool sound;
        if (header & BLOCK_RAW)
            sound = stored_bytes == part && read_bytes(&reader, out, part);
        else
            sound = stored_bytes > 0 && stored_bytes < part &&
                    read_block(&reader, codec, stored_bytes, out, part);
        if (!sound)
            return false;
        out += part;
        left -= part;
    }
    return reader.chain_left + reader.tail_left == 0;
}

/* Blocks of an uncompressed stream are all of one length but the last, so one is found by steps
 * over pages. */
size_t large_read_block(const struct zbud_arena *arena, const struct record *record, size_t number,
                        uint8_t *out)
{
    struct reader reader = reader_of(arena, record);
    size_t before = number * CODEC_BLOCK_BYTES;
    size_t left = record->key_bytes + record->value_bytes;
    uint32_t header;
    assert(before < left);
    size_t part = left - before < CODEC_BLOCK_BYTES ? left - before : CODEC_BLOCK_BYTES;
    for (size_t skip = before + number * BLOCK_HEADER_BYTES; skip > 0;) {
        size_t bytes;
        (void)piece(&reader, &bytes);
        bytes = bytes < skip ? bytes : skip;
        if (bytes == 0)
            return 0;
        advance(&reader, bytes);
        skip -= bytes;
    }
    bool sound = read_header(&reader, &header) && header == ((uint32_t)part | BLOCK_RAW) &&
                 read_bytes(&reader, out, part);
    return sound ? part : 0;
}
