/* A load generator for mail proxies: one thread, epoll, TLS 1.3 through the system's OpenSSL, any line protocol.
 *
 *     load MODE PORT OPTION... -- SCRIPT...
 *
 * MODE  churn   sessions come and go: `sessions` in all, `concurrency` at a time (or begun at `rate` a second)
 *       hold    `sessions` are opened and stay; then each of them does its work `rounds` times
 *
 * OPTION   sessions=N concurrency=N rate=N rounds=N users=N first_user=N skip=OCTETS resume=1
 *
 * SCRIPT   what one session does, in order; %u in a text becomes the number of the session's user
 *       hear PREFIX         wait for a line that begins so
 *       say TEXT PREFIX     send a line, wait for such a line; lines that begin with another word are passed over,
 *                           one that begins with the same word and goes on otherwise is a refusal and ends the program
 *       tls                 shake hands
 *       logged-in           the login is complete: its latency ends here
 *       work TEXT PREFIX    like say, but only when told, and `skip` octets come before the line; ends a script for `hold`
 *       close               ends a script for `churn`
 *
 * It prints `ready` once prepared (in `hold`: all sessions are at rest; with `resume`: it has a ticket), waits for a
 * line on its standard input, works, and prints what it saw as JSON. `hold` keeps its sessions until its input ends.
 * Whatever goes wrong ends the program with a message and status 1. */

#define _GNU_SOURCE
#include "loopback.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>

enum { LINE_SIZE = 1024, CHUNK_SIZE = 64 * 1024, EVENTS = 256, MAX_STEPS = 16, STALLED_MS = 20000 };

enum kind { REST, HEAR, SAY, TLS, LOGGED_IN, WORK, CLOSE };

struct step {
    enum kind kind;
    const char *text, *prefix;
};

struct session {
    int socket;
    SSL *tls;
    bool handshaking, closing;
    unsigned step, user;
    uint64_t skip;        /* octets to be thrown away before the next line */
    uint64_t rounds_left; /* of work */
    int64_t begun_ns;
    size_t line_size;     /* the part of a line that has come so far */
    char line[LINE_SIZE];
};

static const struct {
    const char *name;
    enum kind kind;
    int words;
} step_kinds[] = {
    {"hear", HEAR, 1}, {"say", SAY, 2}, {"tls", TLS, 0}, {"logged-in", LOGGED_IN, 0}, {"work", WORK, 2}, {"close", CLOSE, 0},
};

static struct {
    uint64_t sessions, concurrency, rate, rounds, users, first_user, skip, resume;
} options = {.sessions = 1, .concurrency = 1, .users = 1};

static const struct {
    const char *name;
    uint64_t *value;
} option_names[] = {
    {"sessions", &options.sessions}, {"concurrency", &options.concurrency}, {"rate", &options.rate},
    {"rounds", &options.rounds},     {"users", &options.users},             {"first_user", &options.first_user},
    {"skip", &options.skip},         {"resume", &options.resume},
};

static struct step script[MAX_STEPS + 1]; /* ends with REST */
static unsigned port;
static int epoll, timer;
static SSL_CTX *tls_context;
static SSL_SESSION *ticket;               /* the newest, when sessions are to be resumed */
static char chunk[CHUNK_SIZE];
static char timer_mark, input_mark;       /* their addresses tell events apart from sessions' */

static uint64_t begun, logged_in, over, resting, resumed, octets;
static int64_t first_begun_ns;
static uint32_t *latencies_us;            /* of logins */
static struct session **held;

/* ---- steps ---- */

static void finish(struct session *s)
{
    if (s->tls != NULL) {
        SSL_shutdown(s->tls);
        SSL_free(s->tls);
    }
    close(s->socket);
    free(s);
    over++;
}

/* To be called when nobody up the stack holds the session any more. */
static void finish_if_closing(struct session *s)
{
    if (s->closing)
        finish(s);
}

static void transmit(struct session *s, const char *text, size_t size)
{
    ssize_t sent = s->tls != NULL ? SSL_write(s->tls, text, (int)size) : send(s->socket, text, size, MSG_NOSIGNAL);
    if (sent != (ssize_t)size)
        die("could not send a line at once: %s", strerror(errno));
}

static void say(struct session *s, const char *text)
{
    char line[LINE_SIZE];
    const char *user = strstr(text, "%u");
    int size = user == NULL
        ? snprintf(line, sizeof line, "%s\r\n", text)
        : snprintf(line, sizeof line, "%.*s%u%s\r\n", (int)(user - text), text, s->user, user + 2);
    transmit(s, line, (size_t)size);
}

static void shake_hands(struct session *s);

static void begin_tls(struct session *s)
{
    s->tls = SSL_new(tls_context);
    if (s->tls == NULL || !SSL_set_fd(s->tls, s->socket))
        die("out of memory");
    SSL_set_connect_state(s->tls);
    if (ticket != NULL) {
        SSL_SESSION *copy = SSL_SESSION_dup(ticket); /* OpenSSL spoils the one it uses as soon as a newer one comes */
        SSL_set_session(s->tls, copy);
        SSL_SESSION_free(copy);
    }
    s->handshaking = true;
    shake_hands(s);
}

static void note_login(struct session *s)
{
    latencies_us[logged_in++ % options.sessions] = (uint32_t)((now_ns() - s->begun_ns) / 1000);
    if (s->tls != NULL && SSL_session_reused(s->tls))
        resumed++;
}

/* Does what the session's step begins with; steps that wait for nothing lead straight to the next. */
static void begin_step(struct session *s)
{
    const struct step *step = &script[s->step];
    switch (step->kind) {
    case LOGGED_IN:
        note_login(s);
        s->step++;
        begin_step(s);
        break;
    case TLS:
        begin_tls(s);
        break;
    case SAY:
        say(s, step->text);
        break;
    case CLOSE:
        s->closing = true;
        break;
    case WORK:
    case REST:
        resting++;
        break;
    case HEAR:
        break;
    }
}

static void begin_round(struct session *s)
{
    s->skip = options.skip;
    say(s, script[s->step].text);
}

static void heard(struct session *s)
{
    if (script[s->step].kind != WORK) {
        s->step++;
        begin_step(s);
    } else if (--s->rounds_left > 0) {
        begin_round(s);
    } else {
        resting++;
    }
}

static void on_line(struct session *s, const char *line, size_t size)
{
    const char *prefix = script[s->step].prefix;
    bool waiting = prefix != NULL && (script[s->step].kind != WORK || s->rounds_left > 0);
    if (!waiting)
        return;
    size_t word = strcspn(prefix, " ");
    if (size >= strlen(prefix) && memcmp(line, prefix, strlen(prefix)) == 0)
        heard(s);
    else if (size > word && memcmp(line, prefix, word) == 0 && line[word] == ' ')
        die("waited for '%s', got '%.*s'", prefix, (int)size, line);
}

/* ---- input ---- */

static void take(struct session *s, const char *from, size_t size)
{
    while (size > 0) {
        size_t used;
        if (s->skip > 0) {
            used = s->skip < size ? (size_t)s->skip : size;
            s->skip -= used;
        } else {
            const char *end = memchr(from, '\n', size);
            used = end != NULL ? (size_t)(end + 1 - from) : size;
            if (s->line_size + used > LINE_SIZE)
                die("a line of more than %d octets", LINE_SIZE);
            memcpy(s->line + s->line_size, from, used);
            s->line_size += used;
            if (end != NULL) {
                size_t line_size = s->line_size - (s->line_size > 1 && s->line[s->line_size - 2] == '\r' ? 2 : 1);
                s->line_size = 0;
                on_line(s, s->line, line_size);
            }
        }
        from += used;
        size -= used;
    }
}

__attribute__((noreturn))
static void closed_by_other_end(struct session *s)
{
    die("the other end closed a session in step %u of its script", s->step + 1);
}

/* Plain octets that will only be thrown away are not even copied. */
static void read_plain(struct session *s)
{
    bool discard = s->skip >= CHUNK_SIZE;
    ssize_t size = recv(s->socket, chunk, CHUNK_SIZE, discard ? MSG_TRUNC : 0);
    if (size == 0)
        closed_by_other_end(s);
    if (size < 0 && errno != EAGAIN)
        die("recv: %s", strerror(errno));
    if (size > 0) {
        octets += (uint64_t)size;
        take(s, chunk, (size_t)size);
    }
}

static void read_tls(struct session *s)
{
    while (!s->closing) {
        int size = SSL_read(s->tls, chunk, CHUNK_SIZE);
        if (size <= 0) {
            int error = SSL_get_error(s->tls, size);
            ERR_clear_error();
            if (error != SSL_ERROR_WANT_READ)
                closed_by_other_end(s);
            return;
        }
        octets += (uint64_t)size;
        take(s, chunk, (size_t)size);
    }
}

static void shake_hands(struct session *s)
{
    int done = SSL_do_handshake(s->tls);
    if (done != 1) {
        if (SSL_get_error(s->tls, done) != SSL_ERROR_WANT_READ)
            die("TLS handshake: %s", ERR_reason_error_string(ERR_get_error()));
        return;
    }
    s->handshaking = false;
    s->step++;
    begin_step(s);
    read_tls(s); /* what came with the last of the handshake raises no event */
}

static void on_session_event(struct session *s)
{
    if (s->handshaking)
        shake_hands(s);
    else if (s->tls != NULL)
        read_tls(s);
    else
        read_plain(s);
    finish_if_closing(s);
}

/* ---- sessions ---- */

static struct session *begin_session(int64_t begun_ns)
{
    struct session *s = calloc(1, sizeof *s);
    struct sockaddr_in address = loopback(port);
    if (s == NULL)
        die("out of memory");
    s->socket = socket(AF_INET, SOCK_STREAM, 0);
    s->user = (unsigned)(options.first_user + begun++ % options.users);
    s->begun_ns = begun_ns;
    if (s->socket < 0 || no_delay(s->socket) < 0)
        die("socket: %s", strerror(errno));
    /* On the loopback this does not wait, unless the listener's backlog is full. */
    if (connect(s->socket, (struct sockaddr *)&address, sizeof address) < 0 || ioctl(s->socket, FIONBIO, &(int){1}) < 0)
        die("connect: %s", strerror(errno));
    watch(epoll, EPOLL_CTL_ADD, s->socket, EPOLLIN, s);
    begin_step(s);
    return s;
}

static int new_ticket(SSL *tls, SSL_SESSION *session)
{
    (void)tls;
    SSL_SESSION_free(ticket);
    ticket = session;
    return 1;
}

static void prepare_tls(void)
{
    tls_context = SSL_CTX_new(TLS_client_method());
    if (tls_context == NULL || !SSL_CTX_set_min_proto_version(tls_context, TLS1_3_VERSION)
        || !SSL_CTX_set_ciphersuites(tls_context, "TLS_AES_128_GCM_SHA256")
        || !SSL_CTX_set1_groups_list(tls_context, "X25519"))
        die("OpenSSL lacks TLS 1.3, AES-128-GCM or X25519");
    SSL_CTX_set_options(tls_context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(tls_context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(tls_context, 1);
    SSL_CTX_set_default_read_buffer_len(tls_context, CHUNK_SIZE);
    SSL_CTX_set_session_cache_mode(tls_context, SSL_SESS_CACHE_OFF);
    if (options.resume) {
        SSL_CTX_set_session_cache_mode(tls_context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(tls_context, new_ticket);
    }
}

/* ---- modes ---- */

/* Handles one batch of events. False when the standard input has something to say. */
static bool turn(int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, timeout_ms);
    bool quiet = true;
    if (count == 0)
        die("nothing has happened for %d s: %lu sessions begun, %lu logged in, %lu over", STALLED_MS / 1000,
            begun, logged_in, over);
    for (int i = 0; i < count; i++) {
        void *what = events[i].data.ptr;
        if (what == &input_mark)
            quiet = false;
        else if (what != &timer_mark)
            on_session_event(what);
    }
    return quiet;
}

static void turn_at_work(void)
{
    if (!turn(STALLED_MS))
        die("told to stop");
}

static void begin_counting(void)
{
    begun = logged_in = over = resumed = octets = 0;
    first_begun_ns = now_ns();
}

static void churn(uint64_t sessions)
{
    begin_counting();
    while (over < sessions) {
        while (begun < sessions && begun - over < options.concurrency)
            finish_if_closing(begin_session(now_ns()));
        turn_at_work();
    }
}

/* Sessions begin by the clock, however slow the others are, and their latency counts from when they should have begun. */
static void churn_paced(uint64_t sessions)
{
    int64_t interval = INT64_C(1000000000) / (int64_t)options.rate;
    begin_counting();
    while (over < sessions) {
        int64_t due;
        while (begun < sessions && (due = first_begun_ns + (int64_t)begun * interval) <= now_ns())
            finish_if_closing(begin_session(due));
        if (begun < sessions)
            fire_at(timer, due);
        turn_at_work();
    }
}

static void open_all(void)
{
    begin_counting();
    while (resting < options.sessions) {
        for (uint64_t i = begun; i < options.sessions && begun - resting < options.concurrency; i++)
            held[i] = begin_session(now_ns());
        turn_at_work();
    }
}

static void work(void)
{
    begin_counting();
    for (uint64_t i = 0; i < options.sessions && options.rounds > 0; i++) {
        resting--;
        held[i]->rounds_left = options.rounds;
        begin_round(held[i]);
    }
    while (resting < options.sessions)
        turn_at_work();
}

/* Waits for a line on the standard input, tending the sessions meanwhile; the end of the input ends the program. */
static void wait_for_word(void)
{
    char word[64];
    while (turn(-1))
        continue;
    if (read(STDIN_FILENO, word, sizeof word) <= 0)
        exit(0);
}

static void say_ready(void)
{
    puts("ready");
    fflush(stdout);
    wait_for_word();
}

static int by_size(const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

static void print_results(void)
{
    double seconds = (double)(now_ns() - first_begun_ns) / 1e9;
    qsort(latencies_us, logged_in, sizeof *latencies_us, by_size);
    uint32_t p50 = logged_in ? latencies_us[logged_in / 2] : 0, p99 = logged_in ? latencies_us[logged_in * 99 / 100] : 0;
    printf("{\"seconds\": %.6f, \"logins\": %lu, \"resumed\": %lu, \"octets\": %lu, \"p50_us\": %u, \"p99_us\": %u, "
           "\"max_us\": %u}\n", seconds, logged_in, resumed, octets, p50, p99, logged_in ? latencies_us[logged_in - 1] : 0);
    fflush(stdout);
}

static void run_churn(void)
{
    if (options.resume) {
        churn(1);
        if (ticket == NULL)
            die("the other end gave no ticket to resume with");
    }
    say_ready();
    if (options.rate > 0)
        churn_paced(options.sessions);
    else
        churn(options.sessions);
    print_results();
}

static void run_hold(void)
{
    held = calloc(options.sessions, sizeof *held);
    if (held == NULL)
        die("out of memory");
    open_all();
    say_ready();
    work();
    print_results();
    for (;;)
        wait_for_word();
}

/* ---- the command line ---- */

static void read_option(const char *word)
{
    const char *value = strchr(word, '=');
    for (size_t i = 0; value != NULL && i < sizeof option_names / sizeof *option_names; i++)
        if (strncmp(word, option_names[i].name, (size_t)(value - word)) == 0 && option_names[i].name[value - word] == '\0') {
            *option_names[i].value = strtoull(value + 1, NULL, 10);
            return;
        }
    die("unknown option %s", word);
}

/* Takes one step off the words; returns how many words it had. */
static int read_step(struct step *step, int words, char **word)
{
    for (size_t i = 0; i < sizeof step_kinds / sizeof *step_kinds; i++)
        if (strcmp(word[0], step_kinds[i].name) == 0 && step_kinds[i].words < words) {
            step->kind = step_kinds[i].kind;
            if (step_kinds[i].words > 0)
                step->prefix = word[step_kinds[i].words];
            if (step_kinds[i].words > 1)
                step->text = word[1];
            return 1 + step_kinds[i].words;
        }
    die("no such step, or not enough words for it: %s", word[0]);
}

int main(int argc, char **argv)
{
    int at = 3;
    if (argc < 4)
        die("usage: load churn|hold PORT OPTION... -- SCRIPT...");
    port = (unsigned)atoi(argv[2]);
    for (; at < argc && strcmp(argv[at], "--") != 0; at++)
        read_option(argv[at]);
    at++;
    for (unsigned steps = 0; at < argc; steps++) {
        if (steps == MAX_STEPS)
            die("a script of more than %d steps", MAX_STEPS);
        at += read_step(&script[steps], argc - at, argv + at);
    }
    latencies_us = calloc(options.sessions, sizeof *latencies_us);
    epoll = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (latencies_us == NULL || epoll < 0 || timer < 0)
        die("no memory or descriptors to begin with");
    watch(epoll, EPOLL_CTL_ADD, timer, EPOLLIN | EPOLLET, &timer_mark);
    watch(epoll, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, &input_mark);
    prepare_tls();
    if (strcmp(argv[1], "hold") == 0)
        run_hold();
    else
        run_churn();
    return 0;
}
