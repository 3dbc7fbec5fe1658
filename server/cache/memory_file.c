#include "server/cache/memory_file.h"

#include "server/cache/classes.h"
#include "server/cache/codec.h"
#include "server/cache/dictionary.h"
#include "server/cache/hash.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Of all that is laid out here, of pages, logs and records, and of what seals are made from. Raised
 * with every change of one of them: files of other versions are begun anew. */
#define LAYOUT_VERSION        1u
#define MAGIC                 "zbcached memory\n"
#define MAGIC_BYTES           16u
#define CHECKSUM_SEED         0x7a62636163686564u
#define SHARDS_AT             4096u
#define DICTIONARIES_AT       12288u
#define CLASSES_AT            16384u
#define BYTES_AT              65536u /* of dictionaries */
#define LINKS_AT              (BYTES_AT + DICTIONARIES_MAX * CODEC_DICTIONARY_BYTES)
#define HUGE_BYTES            ((uint64_t)2 << 20)
#define STOPPED               0x73746f70u
/* Sequences have 48 bits: with half of them given there are enough left for any process. */
#define SEQUENCE_RESERVED_MAX ((uint64_t)1 << 47)

struct header {
    char magic[MAGIC_BYTES];
    uint32_t version;
    uint32_t page_bytes;
    uint64_t pages_max;
    uint64_t seed;
    uint64_t secret;
    uint32_t shards;
    uint32_t unused;
    uint64_t checksum; /* of all before */
    /* Changes, and is not relied on. */
    uint32_t stopped;
};

struct shard_slot {
    uint64_t count;
    uint64_t sequence_reserved;
    uint64_t flush_sequence;
    uint64_t flush_at_s;
    uint64_t checksum; /* of all before, and of which shard's it is */
    uint64_t unused[3];
};
static_assert(sizeof(struct shard_slot) == 64, "a cache line");
static_assert(SHARDS_AT + 2 * CACHE_SHARDS_MAX * sizeof(struct shard_slot) <= DICTIONARIES_AT,
              "all shards' fit");

struct dictionary_entry {
    char label[DICTIONARY_LABEL_BYTES];
    uint32_t added_s;
    uint32_t count; /* 0: none */
    uint64_t bytes_checksum;
    uint64_t checksum; /* of all before, and of its number */
    uint64_t unused;
};
static_assert(sizeof(struct dictionary_entry) == 64, "a cache line");
static_assert(DICTIONARIES_AT + DICTIONARIES_MAX * sizeof(struct dictionary_entry) <= CLASSES_AT,
              "all entries fit");

struct classes_block {
    uint64_t checksum; /* of count and bytes */
    uint64_t count;
    uint8_t bytes[MEMORY_FILE_CLASSES_BYTES_MAX];
};
static_assert(CLASSES_SAVED_BYTES_MAX <= MEMORY_FILE_CLASSES_BYTES_MAX, "classes fit");
static_assert(CLASSES_AT + sizeof(struct classes_block) <= BYTES_AT, "classes fit");

struct memory_file {
    int fd;
    uint8_t *head; /* LINKS_AT bytes */
    struct header *header;
    uint64_t pages_max;
    uint64_t shard_counts[CACHE_SHARDS_MAX];
};

/* ---- what is said --------------------------------------------------------------------------- */

void memory_file_tell(const struct cache_config *config, const char *format, ...)
{
    char text[CACHE_TOLD_BYTES];
    va_list arguments;
    int used = snprintf(text, sizeof(text), "-e %s: ", config->memory_file);
    if (config->teller.tell == NULL || used < 0)
        return;
    size_t at = (size_t)used < sizeof(text) ? (size_t)used : sizeof(text) - 1;
    va_start(arguments, format);
    (void)vsnprintf(text + at, sizeof(text) - at, format, arguments);
    va_end(arguments);
    config->teller.tell(config->teller.context, text);
}

/* ---- where things lie ----------------------------------------------------------------------- */

static uint64_t words_at(uint64_t pages_max)
{
    return LINKS_AT + zbud_arena_links_bytes(pages_max);
}

static uint64_t pages_at(uint64_t pages_max)
{
    uint64_t end = words_at(pages_max) + zbud_arena_words_bytes(pages_max);
    return (end + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
}

static uint64_t file_bytes(uint64_t pages_max)
{
    return pages_at(pages_max) + pages_max * ZBUD_PAGE_BYTES;
}

struct zbud_arena_file memory_file_arena(const struct memory_file *file)
{
    return (struct zbud_arena_file){
        .fd = file->fd,
        .links_at = LINKS_AT,
        .words_at = words_at(file->pages_max),
        .pages_at = pages_at(file->pages_max),
    };
}

uint64_t memory_file_secret(const struct memory_file *file)
{
    return file->header->secret;
}

static uint64_t header_checksum(const struct header *header)
{
    return hash_key(header, offsetof(struct header, checksum), CHECKSUM_SEED);
}

static bool reserve_blocks(int fd, uint64_t at, uint64_t bytes)
{
    int failed;
    do {
        failed = fallocate(fd, 0, (off_t)at, (off_t)bytes);
    } while (failed != 0 && errno == EINTR);
    return failed == 0;
}

/* ---- opening -------------------------------------------------------------------------------- */

/* Descriptor of a file that is ours alone; -1. */
static int open_locked(const struct cache_config *config, struct stat *status)
{
    const char *path = config->memory_file;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        memory_file_tell(config, "cannot be opened: %s", strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        memory_file_tell(config,
                         errno == EWOULDBLOCK ? "another process has it open" : "cannot be locked");
    } else if (fstat(fd, status) != 0 || !S_ISREG(status->st_mode)) {
        memory_file_tell(config, "is no regular file");
    } else if (status->st_uid != geteuid()) {
        memory_file_tell(config, "belongs to another user");
    } else if (fchmod(fd, 0600) != 0) {
        memory_file_tell(config, "cannot be closed to other users: %s", strerror(errno));
    } else {
        return fd;
    }
    (void)close(fd);
    return -1;
}

/* Room for all of -m, less what the file has already; and a word where pages would go to a disk. */
static bool has_room(const struct cache_config *config, int fd, const struct stat *status)
{
    struct statfs kind;
    struct statvfs space;
    if (fstatfs(fd, &kind) != 0 || fstatvfs(fd, &space) != 0) {
        memory_file_tell(config, "its file system cannot be asked: %s", strerror(errno));
        return false;
    }
    uint64_t room = (uint64_t)space.f_bavail * space.f_frsize + (uint64_t)status->st_blocks * 512;
    if (kind.f_type == HUGETLBFS_MAGIC) {
        memory_file_tell(config,
                         "lies on hugetlbfs, which cannot give single pages back; tmpfs is meant");
        return false;
    }
    if (room < config->memory_bytes) {
        memory_file_tell(config, "its file system has room for %llu MB, -m asks for %zu",
                         (unsigned long long)(room >> 20), config->memory_bytes >> 20);
        return false;
    }
    if (kind.f_type != TMPFS_MAGIC && kind.f_type != RAMFS_MAGIC) {
        struct statx dax;
        if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &dax) != 0 ||
            !(dax.stx_attributes & STATX_ATTR_DAX))
            memory_file_tell(
                config, "lies neither on tmpfs nor on a DAX mount: the system will write what is "
                        "stored to its disk");
    }
    return true;
}

enum found {
    FOUND_FOREIGN,
    FOUND_UNUSABLE, /* ours, but to be begun anew */
    FOUND_NOTHING,
    FOUND_CACHE,
};

static bool fields_sound(const struct header *header)
{
    return header->page_bytes == ZBUD_PAGE_BYTES && header->pages_max > 0 &&
           header->pages_max <= CACHE_MEMORY_BYTES_MAX / ZBUD_PAGE_BYTES && header->shards > 0 &&
           header->shards <= CACHE_SHARDS_MAX && (header->shards & (header->shards - 1)) == 0;
}

static enum found look_at(const struct cache_config *config, int fd, off_t size)
{
    struct header header = {.version = 0};
    if (size == 0)
        return FOUND_NOTHING;
    ssize_t count = pread(fd, &header, sizeof(header), 0);
    if (count < (ssize_t)MAGIC_BYTES || memcmp(header.magic, MAGIC, MAGIC_BYTES) != 0) {
        memory_file_tell(config, "is no memory file of this server, and is left as it is");
        return FOUND_FOREIGN;
    }
    if (count == (ssize_t)sizeof(header) && header.version != LAYOUT_VERSION) {
        memory_file_tell(config, "is of layout version %u, this is %u: the cache starts empty",
                         header.version, LAYOUT_VERSION);
    } else if (count < (ssize_t)sizeof(header) || header.checksum != header_checksum(&header) ||
               !fields_sound(&header) || (uint64_t)size < pages_at(header.pages_max)) {
        memory_file_tell(config, "its header is damaged or it was cut off: the cache starts empty");
    } else if (config->memory_bytes > header.pages_max * ZBUD_PAGE_BYTES) {
        memory_file_tell(config, "was made for at most %llu MB: the cache starts empty",
                         (unsigned long long)(header.pages_max * ZBUD_PAGE_BYTES >> 20));
    } else {
        if ((uint64_t)size < file_bytes(header.pages_max))
            memory_file_tell(config, "was cut off: what is missing is lost");
        return FOUND_CACHE;
    }
    return FOUND_UNUSABLE;
}

/* The header comes last: a file without one is begun anew. */
static bool make(const struct cache_config *config, int fd)
{
    struct header header = {
        .magic = MAGIC,
        .version = LAYOUT_VERSION,
        .page_bytes = ZBUD_PAGE_BYTES,
        .pages_max = config->reserve_bytes / ZBUD_PAGE_BYTES,
        .seed = config->seed,
        .shards = config->shards,
        .stopped = STOPPED,
    };
    static_assert(sizeof(MAGIC) == MAGIC_BYTES + 1, "without its end");
    if (getrandom(&header.secret, sizeof(header.secret), 0) != (ssize_t)sizeof(header.secret)) {
        memory_file_tell(config, "no randomness from the system: %s", strerror(errno));
        return false;
    }
    header.checksum = header_checksum(&header);
    if (ftruncate(fd, 0) != 0 || ftruncate(fd, (off_t)file_bytes(header.pages_max)) != 0 ||
        !reserve_blocks(fd, 0, BYTES_AT) ||
        pwrite(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header)) {
        memory_file_tell(config, "cannot be made: %s", strerror(errno));
        return false;
    }
    return true;
}

/* As long as its header says, with blocks where they are needed. */
static bool mend(const struct cache_config *config, int fd)
{
    struct header header;
    if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        ftruncate(fd, (off_t)file_bytes(header.pages_max)) != 0 ||
        !reserve_blocks(fd, 0, BYTES_AT)) {
        memory_file_tell(config, "cannot be read: %s", strerror(errno));
        return false;
    }
    return true;
}

static struct memory_file *map_head(struct cache_config *config, int fd)
{
    struct memory_file *file = calloc(1, sizeof(*file));
    void *head = MAP_FAILED;
    if (file != NULL)
        head = mmap(NULL, LINKS_AT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (head == MAP_FAILED) {
        memory_file_tell(config, "cannot be mapped: %s", strerror(errno));
        free(file);
        return NULL;
    }
    file->fd = fd;
    file->head = head;
    file->header = head;
    file->pages_max = file->header->pages_max;
    config->reserve_bytes = file->pages_max * ZBUD_PAGE_BYTES;
    config->shards = file->header->shards;
    config->seed = file->header->seed;
    return file;
}

struct memory_file *memory_file_open(struct cache_config *config, bool *found)
{
    struct stat status;
    struct memory_file *file = NULL;
    int fd = open_locked(config, &status);
    if (fd < 0)
        return NULL;
    enum found what = look_at(config, fd, status.st_size);
    *found = what == FOUND_CACHE;
    if (what != FOUND_FOREIGN && has_room(config, fd, &status) &&
        (*found ? mend(config, fd) : make(config, fd)))
        file = map_head(config, fd);
    if (file == NULL)
        (void)close(fd);
    return file;
}

void memory_file_close(struct memory_file *file)
{
    if (file == NULL)
        return;
    file->header->stopped = STOPPED;
    (void)munmap(file->head, LINKS_AT);
    (void)close(file->fd);
    free(file);
}

bool memory_file_was_stopped(const struct memory_file *file)
{
    return file->header->stopped == STOPPED;
}

void memory_file_begin(struct memory_file *file)
{
    file->header->stopped = 0;
}

/* ---- shards --------------------------------------------------------------------------------- */

static struct shard_slot *shard_slots(const struct memory_file *file, unsigned id)
{
    assert(id < CACHE_SHARDS_MAX);
    return (struct shard_slot *)(void *)(file->head + SHARDS_AT) + (size_t)2 * id;
}

static uint64_t shard_checksum(const struct shard_slot *slot, unsigned id)
{
    return hash_key(slot, offsetof(struct shard_slot, checksum), CHECKSUM_SEED + id);
}

bool memory_file_shard(const struct memory_file *file, unsigned id, struct memory_file_shard *shard)
{
    const struct shard_slot *slots = shard_slots(file, id), *best = NULL;
    for (unsigned i = 0; i < 2; i++) {
        if (slots[i].checksum == shard_checksum(&slots[i], id) &&
            (best == NULL || slots[i].count > best->count))
            best = &slots[i];
    }
    if (best == NULL || best->flush_at_s > UINT32_MAX ||
        best->sequence_reserved > SEQUENCE_RESERVED_MAX ||
        best->flush_sequence > best->sequence_reserved)
        return false;
    *shard = (struct memory_file_shard){
        .sequence_reserved = best->sequence_reserved,
        .flush_sequence = best->flush_sequence,
        .flush_at_s = (uint32_t)best->flush_at_s,
    };
    return true;
}

/* Whole before the other is begun: the compiler may not mix them. */
void memory_file_put_shard(struct memory_file *file, unsigned id,
                           const struct memory_file_shard *shard)
{
    struct shard_slot *slots = shard_slots(file, id);
    struct shard_slot slot = {
        .sequence_reserved = shard->sequence_reserved,
        .flush_sequence = shard->flush_sequence,
        .flush_at_s = shard->flush_at_s,
    };
    if (file->shard_counts[id] == 0) /* the first time */
        file->shard_counts[id] = slots[0].count > slots[1].count ? slots[0].count : slots[1].count;
    slot.count = ++file->shard_counts[id];
    slot.checksum = shard_checksum(&slot, id);
    for (unsigned i = 0; i < 2; i++) {
        slots[i] = slot;
        atomic_signal_fence(memory_order_seq_cst);
    }
}

/* ---- dictionaries and classes ---------------------------------------------------------------- */

static struct dictionary_entry *entry_of(const struct memory_file *file, unsigned number)
{
    assert(number < DICTIONARIES_MAX);
    return (struct dictionary_entry *)(void *)(file->head + DICTIONARIES_AT) + number;
}

static uint64_t bytes_at(unsigned number)
{
    return BYTES_AT + (uint64_t)number * CODEC_DICTIONARY_BYTES;
}

static uint64_t entry_checksum(const struct dictionary_entry *entry, unsigned number)
{
    return hash_key(entry, offsetof(struct dictionary_entry, checksum), CHECKSUM_SEED + number);
}

bool memory_file_dictionary(struct memory_file *file, unsigned number,
                            struct memory_file_dictionary *dictionary)
{
    const struct dictionary_entry *entry = entry_of(file, number);
    const uint8_t *bytes = file->head + bytes_at(number);
    /* Its blocks may be gone. */
    if (entry->count == 0 || entry->count > CODEC_DICTIONARY_BYTES ||
        entry->checksum != entry_checksum(entry, number) ||
        entry->label[DICTIONARY_LABEL_BYTES - 1] != '\0' ||
        !reserve_blocks(file->fd, bytes_at(number), CODEC_DICTIONARY_BYTES) ||
        hash_key(bytes, entry->count, CHECKSUM_SEED) != entry->bytes_checksum)
        return false;
    *dictionary = (struct memory_file_dictionary){
        .label = entry->label, .added_s = entry->added_s, .bytes = bytes, .count = entry->count};
    return true;
}

bool memory_file_put_dictionary(struct memory_file *file, unsigned number,
                                const struct memory_file_dictionary *dictionary)
{
    struct dictionary_entry *entry = entry_of(file, number);
    struct dictionary_entry written = {
        .added_s = dictionary->added_s,
        .count = (uint32_t)dictionary->count,
        .bytes_checksum = hash_key(dictionary->bytes, dictionary->count, CHECKSUM_SEED),
    };
    assert(dictionary->count > 0 && dictionary->count <= CODEC_DICTIONARY_BYTES);
    if (!reserve_blocks(file->fd, bytes_at(number), CODEC_DICTIONARY_BYTES))
        return false;
    strncpy(written.label, dictionary->label, DICTIONARY_LABEL_BYTES - 1);
    written.checksum = entry_checksum(&written, number);
    memcpy(file->head + bytes_at(number), dictionary->bytes, dictionary->count);
    atomic_signal_fence(memory_order_seq_cst);
    *entry = written;
    return true;
}

void memory_file_drop_dictionary(struct memory_file *file, unsigned number)
{
    entry_of(file, number)->count = 0;
    (void)fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)bytes_at(number),
                    CODEC_DICTIONARY_BYTES);
}

static struct classes_block *classes_of(const struct memory_file *file)
{
    return (struct classes_block *)(void *)(file->head + CLASSES_AT);
}

static uint64_t classes_checksum(const struct classes_block *block)
{
    return hash_key(&block->count, sizeof(block->count) + block->count, CHECKSUM_SEED);
}

size_t memory_file_classes(const struct memory_file *file,
                           uint8_t bytes[MEMORY_FILE_CLASSES_BYTES_MAX])
{
    const struct classes_block *block = classes_of(file);
    size_t count = block->count;
    if (count > MEMORY_FILE_CLASSES_BYTES_MAX || block->checksum != classes_checksum(block))
        return 0;
    memcpy(bytes, block->bytes, count);
    return count;
}

void memory_file_put_classes(struct memory_file *file, const uint8_t *bytes, size_t count)
{
    struct classes_block *block = classes_of(file);
    assert(count <= MEMORY_FILE_CLASSES_BYTES_MAX);
    block->checksum = 0;
    block->count = count;
    memcpy(block->bytes, bytes, count);
    block->checksum = classes_checksum(block);
}
