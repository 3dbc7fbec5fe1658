/*
 * login.h - what a connection may say before it is known who it is: the one command of ascii
 * authentication.
 *
 *   set <any> <any> <any> <bytes> [<any>...]\r\n
 *   <user> <password>\r\n
 *
 * It looks like a set, so that any client can send it as its first command. Everything else is
 * answered with the same error, line by line, and nothing of it is carried out.
 *
 * Threads: none; a pure function of its inputs.
 * Source: memcached 1.6.45 proto_text.c try_read_command_asciiauth(), probed on Debian's 1.6.18.
 */
#ifndef PROTOCOL_LOGIN_H
#define PROTOCOL_LOGIN_H

#include "protocol/parse.h"

#define PROTOCOL_LOGIN_BYTES_MAX 16384u /* of "<user> <password>", memcached's limit */

/**
 * protocol_login() - as protocol_parse(), for a connection that is not authenticated yet.
 *
 * REQUEST: request.key is the user and request.value the password, both of at least one byte;
 * nothing else of the request is set.
 */
enum protocol_result protocol_login(uint8_t *bytes, size_t count, struct protocol_parsed *parsed)
    __attribute__((warn_unused_result));

#endif
