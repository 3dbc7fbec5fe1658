/*
 * login_check.h - the promises of protocol/login.h, checked for any bytes.
 *
 * PARSE-1 (what is used was given), PARSE-2 (cut anywhere, the same answer), PARSE-3 (no byte is
 * changed or read outside: each call has a heap block of its own). What breaks one aborts.
 *
 * Threads: none.
 */
#ifndef TESTS_PROTOCOL_LOGIN_CHECK_H
#define TESTS_PROTOCOL_LOGIN_CHECK_H

#include <stddef.h>

/** login_check() - take @text apart as a connection's first bytes, until it waits for more. */
void login_check(const char *text, size_t count);

#endif
