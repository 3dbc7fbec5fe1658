/*
 * status.h - what zbud's calls answer, in the kernel's words.
 */
#ifndef ZBUD_STATUS_H
#define ZBUD_STATUS_H

enum zbud_status {
    ZBUD_OK = 0,
    ZBUD_BAD_SIZE,  /* the kernel's -EINVAL: 0 bytes */
    ZBUD_TOO_LARGE, /* the kernel's -ENOSPC: more than a page can hold */
    ZBUD_NO_PAGE,   /* the kernel's -ENOMEM: no page has that room and none is free */
    ZBUD_REFUSED,   /* the system takes no memory back: freeing more changes nothing */
};

#endif
