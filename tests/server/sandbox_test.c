/*
 * sandbox_test.c - what a process may do in the sandbox, and that anything else ends it.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "server/admin/log.h"
#include "server/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char PID_PATH[] = "/nonexistent/zbcached.pid";

typedef void deed(void);

static uint64_t no_clock(void *context)
{
    (void)context;
    return 0;
}

/* How a child ends that does it in the sandbox: 0, or the signal. */
static int end_of(deed *do_it)
{
    int status;
    const pid_t child = fork();

    assert(child >= 0);
    if (child == 0) {
        struct log *log = log_new(STDERR_FILENO, 0, no_clock, NULL);
        if (log == NULL || !sandbox_enter(PID_PATH, log)) {
            _exit(2);
        }
        do_it();
        _exit(0);
    }
    const pid_t ended = waitpid(child, &status, 0);
    assert(ended == child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- forbidden ---- */

static void run_program(void)
{
    char name[] = "/bin/true";
    char *const argv[] = {name, NULL};
    (void)execv(name, argv);
}

static void fork_off(void)
{
    (void)fork();
}

static void open_socket(void)
{
    (void)socket(AF_INET, SOCK_STREAM, 0);
}

static void connect_socket(void)
{
    const struct sockaddr address = {.sa_family = AF_UNIX};
    (void)connect(0, &address, sizeof(address));
}

static void listen_socket(void)
{
    (void)listen(0, 1);
}

static void write_file(void)
{
    (void)open("/dev/null", O_WRONLY);
}

static void read_and_write_file(void)
{
    (void)open("/dev/null", O_RDWR);
}

static void make_file(void)
{
    (void)open("/nonexistent/file", O_CREAT, 0600);
}

static void remove_file(void)
{
    (void)unlink("/nonexistent/other.pid");
}

static void change_mode(void)
{
    (void)chmod("/nonexistent", 0777);
}

static void map_code(void)
{
    (void)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void make_code(void)
{
    (void)mprotect(NULL, 0, PROT_READ | PROT_EXEC);
}

static void look_into_others(void)
{
    (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void signal_others(void)
{
    (void)kill(getppid(), 0);
}

static void become_somebody(void)
{
    (void)!setuid(0);
}

static void *open_socket_in_thread(void *context)
{
    (void)context;
    open_socket();
    return NULL;
}

/* What is forbidden is so in threads that come later. */
static void start_thread_that_opens_socket(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, open_socket_in_thread, NULL) == 0) {
        (void)pthread_join(thread, NULL);
    }
}

static void test_forbidden(void **state)
{
    static deed *const deeds[] = {
        run_program,         fork_off,         open_socket,   connect_socket,
        listen_socket,       write_file,       make_file,     remove_file,
        change_mode,         map_code,         make_code,     become_somebody,
        read_and_write_file, look_into_others, signal_others, start_thread_that_opens_socket,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
        const int end = end_of(deeds[i]);
        if (end != SIGSYS) {
            fail_msg("deed %zu ends with %d", i, end);
        }
    }
}

/* ---- allowed ---- */

static void must(bool good)
{
    if (!good) {
        _exit(3);
    }
}

static void *add_one(void *context)
{
    must(pthread_setname_np(pthread_self(), "adds-one") == 0);
    ++*(int *)context;
    return NULL;
}

static void start_thread(void)
{
    int sum = 0;
    pthread_t thread;
    must(pthread_create(&thread, NULL, add_one, &sum) == 0 && pthread_join(thread, NULL) == 0 &&
         sum == 1);
}

static void read_own_size(void)
{
    char text[64];
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    must(fd >= 0 && read(fd, text, sizeof(text)) > 0 && close(fd) == 0);
}

static void allocate(void)
{
    char *small = malloc(100), *large = malloc(10 << 20);
    must(small != NULL && large != NULL);
    large = realloc(large, 20 << 20);
    must(large != NULL);
    memset(large, 1, 20 << 20);
    free(large);
    free(small);
    (void)malloc_trim(0);
}

static void remove_pid_file(void)
{
    must(unlink(PID_PATH) != 0 && errno == ENOENT);
}

static void signal_itself(void)
{
    must(signal(SIGUSR1, SIG_IGN) != SIG_ERR && kill(getpid(), SIGUSR1) == 0);
}

static void test_allowed(void **state)
{
    static deed *const deeds[] = {start_thread, read_own_size, allocate, remove_pid_file,
                                  signal_itself};

    (void)state;
    for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
        const int end = end_of(deeds[i]);
        if (end != 0) {
            fail_msg("deed %zu ends with %d", i, end);
        }
    }
}

/* An assert that fails ends as one, not as a forbidden call. */
static void test_abort(void **state)
{
    (void)state;
    assert_int_equal(end_of(abort), SIGABRT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forbidden),
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
