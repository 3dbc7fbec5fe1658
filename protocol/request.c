#include "protocol/request.h"

#include "protocol/token.h"

bool protocol_next_key(struct protocol_slice *keys, struct protocol_slice *key)
{
    return protocol_token_next(keys, key);
}
