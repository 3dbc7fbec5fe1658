/*
 * certs.h - a folder of certificates, made by openssl when a test begins (make_certs says which).
 *
 * Threads: none of its own.
 */
#ifndef TESTS_TLS_CERTS_H
#define TESTS_TLS_CERTS_H

#define CERTS_PATH_BYTES 64u

/** certs_make() - a new folder, for certs_remove(). Aborts where openssl fails. */
void certs_make(char folder[CERTS_PATH_BYTES]);
void certs_remove(const char *folder);

#endif
