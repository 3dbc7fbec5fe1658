#include "clients/ctl_screen.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define BAR_CELLS   30u
#define WAIT_MS_MAX 60000.0

static int take_resizes(sigset_t *before)
{
    sigset_t signals;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGWINCH);
    (void)sigprocmask(SIG_BLOCK, &signals, before);
    return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

bool ctl_screen_open(struct ctl_screen *screen, FILE *out, bool live)
{
    *screen = (struct ctl_screen){
        .out = out,
        .live = live,
        .width = CTL_SCREEN_WIDTH_PLAIN,
        .height = CTL_SCREEN_LINES_PLAIN,
        .resizes = -1,
    };
    if (!live)
        return true;
    screen->resizes = take_resizes(&screen->mask_before);
    if (screen->resizes < 0)
        return false;
    if (tcgetattr(STDIN_FILENO, &screen->before) == 0) {
        struct termios typing = screen->before;

        typing.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        screen->typing = tcsetattr(STDIN_FILENO, TCSANOW, &typing) == 0;
    }
    fputs("\033[?1049h\033[?25l", out); /* a screen of its own, no cursor */
    return true;
}

void ctl_screen_close(struct ctl_screen *screen)
{
    if (!screen->live)
        return;
    fputs("\033[?25h\033[?1049l", screen->out);
    (void)fflush(screen->out);
    if (screen->typing)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &screen->before);
    (void)close(screen->resizes);
    (void)sigprocmask(SIG_SETMASK, &screen->mask_before, NULL);
}

void ctl_screen_begin(struct ctl_screen *screen)
{
    struct winsize size;

    screen->used = 0;
    if (!screen->live)
        return;
    if (ioctl(fileno(screen->out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        screen->width = size.ws_col < CTL_SCREEN_WIDTH_MAX ? size.ws_col : CTL_SCREEN_WIDTH_MAX;
        screen->height = size.ws_row;
    }
    fputs("\033[H", screen->out);
}

void ctl_screen_end(struct ctl_screen *screen)
{
    if (screen->live)
        fputs("\033[J", screen->out);
    (void)fflush(screen->out);
}

int ctl_screen_width(const struct ctl_screen *screen)
{
    return (int)screen->width;
}

unsigned ctl_screen_left(const struct ctl_screen *screen)
{
    return screen->height > screen->used ? screen->height - screen->used : 0;
}

/* A line's end stands before the next: behind the screen's last it would move all of them up. */
static void put(struct ctl_screen *screen, char *text, bool bold)
{
    if (ctl_screen_left(screen) == 0)
        return;
    if (strlen(text) > screen->width)
        text[screen->width] = '\0';
    for (char *at = text; *at != '\0'; at++)
        *at = *at >= ' ' && *at < 0x7f ? *at : '?';
    if (screen->live)
        fprintf(screen->out, "%s%s%s%s\033[K", screen->used > 0 ? "\r\n" : "",
                bold ? "\033[1m" : "", text, bold ? "\033[0m" : "");
    else
        fprintf(screen->out, "%s\n", text);
    screen->used++;
}

__attribute__((format(printf, 3, 0))) static void put_formatted(struct ctl_screen *screen,
                                                                bool bold, const char *format,
                                                                va_list arguments)
{
    char text[CTL_SCREEN_WIDTH_MAX + 1];

    (void)vsnprintf(text, sizeof(text), format, arguments);
    put(screen, text, bold);
}

void ctl_screen_line(struct ctl_screen *screen, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    put_formatted(screen, false, format, arguments);
    va_end(arguments);
}

void ctl_screen_title(struct ctl_screen *screen, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    put_formatted(screen, true, format, arguments);
    va_end(arguments);
}

static void fill(char *bar, double *from, double share, char letter)
{
    const double to = *from + share;

    for (unsigned cell = 0; cell < BAR_CELLS; cell++) {
        const double middle = (cell + .5) / BAR_CELLS;

        if (middle >= *from && middle < to)
            bar[cell] = letter;
    }
    *from = to;
}

void ctl_screen_bar(struct ctl_screen *screen, const char *name, double share, const char *format,
                    ...)
{
    char bar[BAR_CELLS], text[CTL_SCREEN_WIDTH_MAX + 1];
    double from = 0;
    va_list arguments;

    memset(bar, '.', sizeof(bar));
    fill(bar, &from, share, '#');
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    ctl_screen_line(screen, "%-9s [%.*s]  %s", name, (int)BAR_CELLS, bar, text);
}

void ctl_screen_parts(struct ctl_screen *screen, const char *name,
                      const struct ctl_screen_part *parts, size_t count, double whole)
{
    char bar[BAR_CELLS], text[CTL_SCREEN_WIDTH_MAX + 1] = "";
    double from = 0;
    size_t used = 0;

    memset(bar, '.', sizeof(bar));
    for (size_t i = 0; i < count && whole > 0; i++) {
        const int more = snprintf(text + used, sizeof(text) - used, "  %c %s %.1f %%",
                                  parts[i].letter, parts[i].name, 100 * parts[i].amount / whole);

        fill(bar, &from, parts[i].amount / whole, parts[i].letter);
        if (more > 0 && (size_t)more < sizeof(text) - used)
            used += (size_t)more;
    }
    ctl_screen_line(screen, "%-9s [%.*s]", name, (int)BAR_CELLS, bar);
    ctl_screen_line(screen, "%8s%s", "", text);
}

enum ctl_screen_event ctl_screen_wait(struct ctl_screen *screen, int signals, double seconds)
{
    struct pollfd waits[] = {
        {.fd = signals, .events = POLLIN},
        {.fd = screen->resizes, .events = POLLIN},
        {.fd = screen->typing ? STDIN_FILENO : -1, .events = POLLIN},
    };
    const double ms = seconds > 0 ? 1000 * seconds + 1 : 0;
    struct signalfd_siginfo info;
    char key;

    if (poll(waits, 3, (int)(ms < WAIT_MS_MAX ? ms : WAIT_MS_MAX)) <= 0)
        return CTL_SCREEN_TIME;
    if (waits[0].revents != 0)
        return CTL_SCREEN_SIGNAL;
    if (waits[2].revents != 0 && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q'))
        return CTL_SCREEN_QUIT;
    while (read(screen->resizes, &info, sizeof(info)) == (ssize_t)sizeof(info))
        continue;
    return CTL_SCREEN_RESIZED;
}
