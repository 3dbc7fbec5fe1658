#include "protocol/request.h"

#include "protocol/token.h"

#include <string.h>

bool protocol_next_key(struct protocol_slice *keys, struct protocol_slice *key)
{
    return protocol_token_next(keys, key);
}

bool protocol_slice_is(struct protocol_slice slice, const char *word)
{
    return slice.bytes == strlen(word) && memcmp(slice.data, word, slice.bytes) == 0;
}

bool protocol_slice_begins(struct protocol_slice slice, const char *word)
{
    return slice.bytes > 0 && slice.bytes <= strlen(word) &&
           memcmp(slice.data, word, slice.bytes) == 0;
}
