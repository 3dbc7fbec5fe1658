/*
 * ctl_screen.h - frames of lines, on a terminal one over the other, else one behind the other.
 *
 *   ctl_screen_begin() --> title, line, bar ... --> ctl_screen_end() --> ctl_screen_wait()
 *
 * A line is cut at the screen's width, those behind its last are left out; whatever is no visible
 * ASCII in it is '?', so no byte of a server's reaches the terminal as more than that. The size is
 * looked up for each frame. A terminal is left as it was found.
 *
 * Threads: one.
 * Source: ECMA-48 (control sequences), xterm's private modes 25 and 1049.
 */
#ifndef CLIENTS_CTL_SCREEN_H
#define CLIENTS_CTL_SCREEN_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <termios.h>

#define CTL_SCREEN_WIDTH_MAX   250u
#define CTL_SCREEN_WIDTH_PLAIN 100u /* and height, where it is no terminal */
#define CTL_SCREEN_LINES_PLAIN 200u

struct ctl_screen {
    FILE *out;
    bool live;
    bool typing; /* keys are read, one by one */
    unsigned width, height, used;
    int resizes; /* a descriptor: SIGWINCH */
    sigset_t mask_before;
    struct termios before;
};

/* A part of a whole, as so many letters. */
struct ctl_screen_part {
    char letter;
    const char *name;
    double amount;
};

enum ctl_screen_event {
    CTL_SCREEN_TIME,
    CTL_SCREEN_QUIT, /* q, or the terminal is gone */
    CTL_SCREEN_RESIZED,
    CTL_SCREEN_SIGNAL,
};

/** ctl_screen_open() - @live: a terminal, cleared for frames. False: errno says why. */
bool ctl_screen_open(struct ctl_screen *screen, FILE *out, bool live);
void ctl_screen_close(struct ctl_screen *screen);

void ctl_screen_begin(struct ctl_screen *screen);
void ctl_screen_end(struct ctl_screen *screen);
int ctl_screen_width(const struct ctl_screen *screen);
/** ctl_screen_left() - lines that there is room for. */
unsigned ctl_screen_left(const struct ctl_screen *screen);

__attribute__((format(printf, 2, 3))) void ctl_screen_line(struct ctl_screen *screen,
                                                           const char *format, ...);
__attribute__((format(printf, 2, 3))) void ctl_screen_title(struct ctl_screen *screen,
                                                            const char *format, ...);
/** ctl_screen_bar() - @share: of 1; what is said of it stands behind. */
__attribute__((format(printf, 4, 5))) void ctl_screen_bar(struct ctl_screen *screen,
                                                          const char *name, double share,
                                                          const char *format, ...);
/** ctl_screen_parts() - a bar of several parts, and on a line below how much each is: of four with
 * short names that fits into 80 columns. */
void ctl_screen_parts(struct ctl_screen *screen, const char *name,
                      const struct ctl_screen_part *parts, size_t count, double whole);

/** ctl_screen_wait() - until something happens, at most so long. @signals: readable: a signal. */
enum ctl_screen_event ctl_screen_wait(struct ctl_screen *screen, int signals, double seconds);

#endif
