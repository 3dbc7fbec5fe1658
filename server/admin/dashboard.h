/*
 * dashboard.h - the page that a browser is served: dashboard.html, made into constants at build
 * time by the script "embed".
 *
 * Threads: constant data.
 */
#ifndef SERVER_ADMIN_DASHBOARD_H
#define SERVER_ADMIN_DASHBOARD_H

#include <stddef.h>

extern const unsigned char DASHBOARD_PAGE[];
extern const size_t DASHBOARD_PAGE_BYTES;
/* Its Content-Security-Policy: its own script and style, by their hashes, and questions to us. */
extern const char DASHBOARD_POLICY[];

#endif
