/*
 * ctl_prompt.c - commands line by line. At a terminal with libedit: history, kept in
 * $XDG_STATE_HOME/zbcached/zbctl_history (~/.local/state by default), and Tab for the commands.
 * Ctrl-C there ends a long command, and nothing else.
 */
#include "clients/ctl.h"

#include <histedit.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define WORDS_MAX     1024
#define HISTORY_LINES 1000
#define PATH_BYTES    4096u

struct terminal {
    EditLine *edit;
    History *past;
    char prompt[64];
};

/* ---- words ---- */

/*
 * Cuts @line into words, in place: blanks part them, but between quotes of either kind; a backslash
 * takes the next byte as it is. Returns their count; -1: a quote is not closed, or too many.
 */
static int cut_words(char *line, char **words)
{
    char *read = line, *write = line;
    int count = 0;

    for (;;) {
        char quote = '\0';

        read += strspn(read, " \t\r\n");
        if (*read == '\0')
            return count;
        if (count == WORDS_MAX)
            return -1;
        words[count++] = write;
        while (*read != '\0' && (quote != '\0' || strchr(" \t\r\n", *read) == NULL)) {
            if (quote == '\0' && (*read == '"' || *read == '\''))
                quote = *read++;
            else if (*read == quote)
                quote = '\0', read++;
            else if (*read == '\\' && read[1] != '\0' && quote != '\'')
                *write++ = *++read, ++read;
            else
                *write++ = *read++;
        }
        if (quote != '\0')
            return -1;
        read += *read != '\0';
        *write++ = '\0';
    }
}

static enum ctl_exit run_line(struct ctl *ctl, char *line, bool *over)
{
    char *words[WORDS_MAX];
    int count = cut_words(line, words);

    if (count < 0) {
        fprintf(stderr, "zbctl: a quote is not closed, or there are over %d words\n", WORDS_MAX);
        return CTL_BAD_USAGE;
    }
    if (count == 0)
        return CTL_GOOD;
    *over = strcmp(words[0], "quit") == 0 || strcmp(words[0], "exit") == 0;
    return *over ? CTL_GOOD : ctl_run(ctl, words, count);
}

static enum ctl_exit run_stdin(struct ctl *ctl)
{
    enum ctl_exit code = CTL_GOOD;
    char *line = NULL;
    size_t room = 0;
    bool over = false;

    while (!over && !ctl->was_interrupted && getline(&line, &room, stdin) > 0) {
        enum ctl_exit last = run_line(ctl, line, &over);

        /* The first that fails is the answer; the others are done all the same. */
        code = code == CTL_GOOD ? last : code;
    }
    free(line);
    return code;
}

/* ---- completion ---- */

/* Tab: the rest of the command's name, as far as there is but one way on. */
static unsigned char complete(EditLine *edit, int key)
{
    const LineInfo *line = el_line(edit);
    size_t typed = (size_t)(line->cursor - line->buffer);
    const char *name, *found = NULL;
    size_t common = 0, count = 0;
    char rest[64];

    (void)key;
    if (memchr(line->buffer, ' ', typed) != NULL)
        return CC_ERROR;
    for (size_t i = 0; (name = ctl_command_name(i)) != NULL; i++) {
        if (strncmp(name, line->buffer, typed) != 0)
            continue;
        if (count++ == 0)
            common = strlen(name);
        else
            for (size_t at = typed; at < common; at++)
                common = name[at] == found[at] ? common : at;
        found = name;
    }
    if (count == 0)
        return CC_ERROR;
    (void)snprintf(rest, sizeof(rest), "%.*s%s", (int)(common - typed), found + typed,
                   count == 1 ? " " : "");
    if (rest[0] != '\0')
        return el_insertstr(edit, rest) == 0 ? CC_REFRESH : CC_ERROR;
    printf("\n");
    for (size_t i = 0; (name = ctl_command_name(i)) != NULL; i++) {
        if (strncmp(name, line->buffer, typed) == 0)
            printf("%s  ", name);
    }
    printf("\n");
    (void)fflush(stdout);
    return CC_REDISPLAY;
}

static char *prompt_text(EditLine *edit)
{
    struct terminal *terminal = NULL;

    (void)el_get(edit, EL_CLIENTDATA, &terminal);
    return terminal->prompt;
}

/* ---- history ---- */

/* Where it is kept, the folders made; "": nowhere. */
static void find_history(char path[PATH_BYTES])
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int bytes;

    if (state != NULL && state[0] == '/')
        bytes = snprintf(path, PATH_BYTES, "%s/zbcached/zbctl_history", state);
    else if (home != NULL)
        bytes = snprintf(path, PATH_BYTES, "%s/.local/state/zbcached/zbctl_history", home);
    else
        return;
    if (bytes < 0 || (size_t)bytes >= PATH_BYTES) {
        path[0] = '\0';
        return;
    }
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
}

static enum ctl_exit run_lines(struct ctl *ctl, struct terminal *terminal)
{
    enum ctl_exit code = CTL_GOOD;
    bool over = false;
    HistEvent event;
    const char *line;
    int bytes;

    while (!over && (line = el_gets(terminal->edit, &bytes)) != NULL && bytes > 0) {
        char *copy = strdup(line);

        if (copy == NULL)
            return ctl_complain("prompt");
        if (strspn(line, " \t\r\n") != strlen(line))
            (void)history(terminal->past, &event, H_ENTER, line);
        code = run_line(ctl, copy, &over);
        free(copy);
    }
    if (!over)
        fprintf(ctl->out, "\n");
    return code;
}

static void set_up(struct terminal *terminal, const char *path)
{
    HistEvent event;

    (void)history(terminal->past, &event, H_SETSIZE, HISTORY_LINES);
    (void)history(terminal->past, &event, H_SETUNIQUE, 1);
    if (path[0] != '\0')
        (void)history(terminal->past, &event, H_LOAD, path);
    (void)el_set(terminal->edit, EL_CLIENTDATA, terminal);
    (void)el_set(terminal->edit, EL_EDITOR, "emacs");
    (void)el_set(terminal->edit, EL_PROMPT, prompt_text);
    (void)el_set(terminal->edit, EL_HIST, history, terminal->past);
    (void)el_set(terminal->edit, EL_ADDFN, "complete", "the rest of a command", complete);
    (void)el_set(terminal->edit, EL_BIND, "^I", "complete", NULL);
}

/* Lines and echo, which libedit has switched off while it reads, are back before this ends. */
static void end_by_signal(int number)
{
    struct termios terminal;

    if (tcgetattr(STDIN_FILENO, &terminal) == 0) {
        terminal.c_lflag |= ICANON | ECHO | ECHOK | IEXTEN;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

enum ctl_exit ctl_prompt(struct ctl *ctl)
{
    struct terminal terminal = {.past = NULL};
    char path[PATH_BYTES] = "";
    enum ctl_exit code = CTL_NO_FILE;
    HistEvent event;

    if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1)
        return run_stdin(ctl);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, end_by_signal);
    (void)snprintf(terminal.prompt, sizeof(terminal.prompt), "%.60s> ", ctl->options->server);
    terminal.edit = el_init("zbctl", stdin, stdout, stderr);
    terminal.past = history_init();
    if (terminal.edit != NULL && terminal.past != NULL) {
        find_history(path);
        set_up(&terminal, path);
        code = run_lines(ctl, &terminal);
        /* What cannot be kept is lost, and nothing else. */
        if (path[0] != '\0')
            (void)history(terminal.past, &event, H_SAVE, path);
    }
    if (terminal.past != NULL)
        history_end(terminal.past);
    if (terminal.edit != NULL)
        el_end(terminal.edit);
    return code;
}
