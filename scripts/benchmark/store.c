/* A stub mail store: speaks just enough of a protocol to be logged in to, so that the proxy before it is what is measured.
 *
 *     store imap PORT DELAY_US        an IMAP store whose every answer comes DELAY_US late, as if it stood that far away;
 *                                     pop3 and submission likewise
 *     store auth_http PORT MAIL_PORT  nginx's mail auth protocol: every login is right, its mail is at MAIL_PORT here
 *
 * Prints `ready` when it listens, serves on the loopback, ends when its standard input does. Every password is right.
 * Beside what a login needs, a store has `BULK n`, which sends n octets before it says that it is done.
 * A new protocol is one `struct protocol`: a greeting and a function that takes one command off the input. */

#define _GNU_SOURCE
#include "loopback.h"

enum { INPUT_SIZE = 1024, TAG_SIZE = 32, CHUNK_SIZE = 256 * 1024, EVENTS = 256 };

enum state { COMMANDS, SASL_RESPONSE, IDLING, CLOSING };

struct connection {
    int socket;
    enum state state;
    bool greeted;
    size_t in_size;      /* octets of `in` that are filled */
    size_t prompted;     /* a synchronizing literal before this offset has had its continuation */
    uint64_t bulk_left;  /* octets of filler that go out before the end of bulk */
    int64_t due;         /* when a late answer is to be given, and who comes next */
    struct connection *next;
    char tag[TAG_SIZE];
    char in[INPUT_SIZE];
};

struct protocol {
    const char *name;
    const char *greeting;
    const char *bulk_end; /* what follows bulk, behind the command's tag if it has one */
    /* Answers the first command of the input and returns its length, 0 while it is incomplete. */
    size_t (*answer)(struct connection *);
};

static int epoll, timer;
static unsigned argument;                    /* DELAY_US or MAIL_PORT */
static int64_t delay_ns;
static const struct protocol *protocol;
static struct connection *late_first, *late_last;
static char out[16 * 1024];                  /* the answers of one turn of one connection */
static size_t out_size;
static char filler[CHUNK_SIZE];

/* ---- answers ---- */

__attribute__((format(printf, 1, 2)))
static void reply(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    out_size += (size_t)vsnprintf(out + out_size, sizeof out - out_size, format, args);
    va_end(args);
    if (out_size >= sizeof out)
        die("more answers in one turn than a client should ask for");
}

/* Small answers fit any socket buffer; a client that lets them pile up is not one we measure with. */
static bool flush(struct connection *c)
{
    bool sent = send(c->socket, out, out_size, MSG_NOSIGNAL) == (ssize_t)out_size;
    out_size = 0;
    return sent;
}

/* Sends filler until it is all out or the socket is full, then the end of it. False when the client is gone. */
static bool pump(struct connection *c)
{
    while (c->bulk_left > 0) {
        size_t size = c->bulk_left < CHUNK_SIZE ? c->bulk_left : CHUNK_SIZE;
        ssize_t sent = send(c->socket, filler, size, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN;
        c->bulk_left -= (uint64_t)sent;
    }
    reply("%s%s\r\n", c->tag, protocol->bulk_end);
    if (!flush(c))
        return errno == EAGAIN; /* no room even for this: it is said when there is */
    watch(epoll, EPOLL_CTL_MOD, c->socket, EPOLLIN, c);
    return true;
}

/* ---- IMAP (RFC 3501, 4959 SASL-IR, 7888 LITERAL+, 2971 ID, 2177 IDLE) ---- */

#define CAPABILITIES "IMAP4rev1 SASL-IR LITERAL+ ID AUTH=PLAIN IDLE"

/* The size of the literal that a line announces at its end, or -1. */
static long literal_size(const char *line, size_t size, bool *synchronizing)
{
    size_t at = size >= 2 && line[size - 2] == '\r' ? size - 2 : size - 1;
    if (at < 3 || line[at - 1] != '}')
        return -1;
    *synchronizing = line[at - 2] != '+';
    while (at > 0 && line[at - 1] != '{')
        at--;
    return at > 0 ? strtol(line + at, NULL, 10) : -1;
}

/* The length of the first command with its literals, or 0; asks for a synchronizing literal once. */
static size_t whole_command(struct connection *c)
{
    for (size_t at = 0; at < c->in_size;) {
        char *end = memchr(c->in + at, '\n', c->in_size - at);
        if (end == NULL)
            return 0;
        size_t after = (size_t)(end + 1 - c->in);
        bool synchronizing = false;
        long literal = literal_size(c->in + at, after - at, &synchronizing);
        if (literal < 0)
            return after;
        if (synchronizing && after > c->prompted) {
            reply("+ go ahead\r\n");
            c->prompted = after;
        }
        at = after + (size_t)literal;
    }
    return 0;
}

static bool has_initial_response(const char *command, const char *end)
{
    const char *mechanism = command + sizeof "AUTHENTICATE";
    return memchr(mechanism, ' ', (size_t)(end - mechanism)) != NULL;
}

static void imap_command(struct connection *c, const char *command, const char *end)
{
#define IS(name) (strncasecmp(command, name, sizeof name - 1) == 0 && strchr(" \r\n", command[sizeof name - 1]) != NULL)
    if (IS("NOOP")) {
        reply("%s OK done\r\n", c->tag);
    } else if (IS("LOGIN")) {
        reply("%s OK [CAPABILITY " CAPABILITIES "] logged in\r\n", c->tag);
    } else if (IS("AUTHENTICATE") && has_initial_response(command, end)) {
        reply("%s OK [CAPABILITY " CAPABILITIES "] logged in\r\n", c->tag);
    } else if (IS("AUTHENTICATE")) {
        reply("+ \r\n");
        c->state = SASL_RESPONSE;
    } else if (IS("CAPABILITY")) {
        reply("* CAPABILITY " CAPABILITIES "\r\n%s OK done\r\n", c->tag);
    } else if (IS("ID")) {
        reply("* ID NIL\r\n%s OK done\r\n", c->tag);
    } else if (IS("IDLE")) {
        reply("+ idling\r\n");
        c->state = IDLING;
    } else if (IS("BULK")) {
        c->bulk_left = strtoull(command + strlen("BULK"), NULL, 10);
    } else if (IS("LOGOUT")) {
        reply("* BYE good-bye\r\n%s OK done\r\n", c->tag);
        c->state = CLOSING;
    } else {
        reply("%s BAD unknown\r\n", c->tag);
    }
#undef IS
}

static size_t imap_answer(struct connection *c)
{
    size_t size = whole_command(c);
    if (size == 0)
        return 0;
    if (c->state != COMMANDS) { /* the one line that ends IDLE or is the response to a challenge */
        reply("%s OK done\r\n", c->tag);
        c->state = COMMANDS;
        return size;
    }
    size_t tag = strcspn(c->in, " \r\n");
    if (c->in[tag] != ' ' || tag >= TAG_SIZE) {
        reply("* BAD no tag\r\n");
        return size;
    }
    memcpy(c->tag, c->in, tag);
    c->tag[tag] = '\0';
    imap_command(c, c->in + tag + 1, c->in + size);
    return size;
}

/* ---- POP3 (RFC 1939, 2449 CAPA, 5034 AUTH) and submission (RFC 6409, 4954 AUTH): a line a command ---- */

/* The length of the first line, 0 while it is incomplete. */
static size_t whole_line(struct connection *c)
{
    char *end = memchr(c->in, '\n', c->in_size);
    return end == NULL ? 0 : (size_t)(end + 1 - c->in);
}

static bool begins(struct connection *c, const char *command)
{
    return strncasecmp(c->in, command, strlen(command)) == 0;
}

static size_t pop3_answer(struct connection *c)
{
    size_t size = whole_line(c);
    if (size == 0)
        return 0;
    if (c->state == SASL_RESPONSE) {
        reply("+OK logged in\r\n");
        c->state = COMMANDS;
    } else if (begins(c, "CAPA")) {
        reply("+OK\r\nUSER\r\nSASL PLAIN\r\nRESP-CODES\r\nPIPELINING\r\n.\r\n");
    } else if (begins(c, "AUTH PLAIN\r")) {
        reply("+ \r\n");
        c->state = SASL_RESPONSE;
    } else if (begins(c, "BULK ")) {
        c->bulk_left = strtoull(c->in + strlen("BULK "), NULL, 10); /* and no +OK: the load skips so many octets */
    } else if (begins(c, "QUIT")) {
        reply("+OK good-bye\r\n");
        c->state = CLOSING;
    } else { /* USER, PASS, AUTH with its response, NOOP */
        reply("+OK\r\n");
    }
    return size;
}

static size_t submission_answer(struct connection *c)
{
    size_t size = whole_line(c);
    if (size == 0)
        return 0;
    if (begins(c, "EHLO"))
        reply("250-stub\r\n250-PIPELINING\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n");
    else if (begins(c, "AUTH PLAIN\r"))
        reply("334 \r\n"), c->state = SASL_RESPONSE;
    else if (begins(c, "AUTH") || c->state == SASL_RESPONSE)
        reply("235 2.7.0 logged in\r\n"), c->state = COMMANDS;
    else if (begins(c, "BULK "))
        c->bulk_left = strtoull(c->in + strlen("BULK "), NULL, 10);
    else if (begins(c, "QUIT"))
        reply("221 2.0.0 good-bye\r\n"), c->state = CLOSING;
    else
        reply("250 2.0.0 done\r\n");
    return size;
}

/* ---- nginx's mail auth protocol: one HTTP request a connection, the answer always the same ---- */

static size_t auth_http_answer(struct connection *c)
{
    char *end = memmem(c->in, c->in_size, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    reply("HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: %u\r\n\r\n", argument);
    c->state = CLOSING;
    return (size_t)(end + 4 - c->in);
}

static const struct protocol protocols[] = {
    {"imap", "* OK [CAPABILITY " CAPABILITIES "] stub ready\r\n", " OK done", imap_answer},
    {"pop3", "+OK stub ready\r\n", ".", pop3_answer},
    {"submission", "220 stub ESMTP ready\r\n", "250 2.0.0 done", submission_answer},
    {"auth_http", NULL, NULL, auth_http_answer},
};

/* ---- connections ---- */

static void end(struct connection *c)
{
    close(c->socket);
    free(c);
}

static bool read_more(struct connection *c)
{
    ssize_t size = recv(c->socket, c->in + c->in_size, INPUT_SIZE - 1 - c->in_size, 0);
    if (size <= 0)
        return size < 0 && errno == EAGAIN;
    c->in_size += (size_t)size;
    c->in[c->in_size] = '\0';
    return true;
}

/* Greets, or reads and answers every command that is whole. False when the connection is over. */
static bool serve(struct connection *c)
{
    if (!c->greeted) {
        c->greeted = true;
        if (protocol->greeting != NULL)
            reply("%s", protocol->greeting);
        return flush(c);
    }
    if (!read_more(c))
        return false;
    size_t size;
    while (c->state != CLOSING && c->bulk_left == 0 && c->in_size > 0 && (size = protocol->answer(c)) > 0) {
        c->in_size -= size;
        c->prompted = 0;
        memmove(c->in, c->in + size, c->in_size + 1);
    }
    if (out_size > 0 && !flush(c))
        return false;
    if (c->bulk_left > 0) {
        watch(epoll, EPOLL_CTL_MOD, c->socket, EPOLLOUT, c);
        return pump(c);
    }
    return c->state != CLOSING && c->in_size < INPUT_SIZE - 1;
}

/* Puts the connection to sleep until its answer is due. The delay is the same for all, so the queue is in order. */
static void postpone(struct connection *c)
{
    c->due = now_ns() + delay_ns;
    c->next = NULL;
    watch(epoll, EPOLL_CTL_DEL, c->socket, 0, NULL);
    if (late_first == NULL) {
        late_first = late_last = c;
        fire_at(timer, c->due);
    } else {
        late_last = late_last->next = c;
    }
}

static void serve_late(void)
{
    uint64_t expirations;
    if (read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN)
        die("timer: %s", strerror(errno));
    int64_t now = now_ns();
    while (late_first != NULL && late_first->due <= now) {
        struct connection *c = late_first;
        late_first = c->next;
        watch(epoll, EPOLL_CTL_ADD, c->socket, EPOLLIN, c);
        if (!serve(c))
            end(c);
    }
    if (late_first != NULL)
        fire_at(timer, late_first->due);
}

static void accept_all(int listener)
{
    int socket;
    while ((socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);
        if (c == NULL)
            die("out of memory");
        c->socket = socket;
        no_delay(socket);
        watch(epoll, EPOLL_CTL_ADD, socket, EPOLLIN, c);
        if (delay_ns > 0)
            postpone(c);
        else if (!serve(c))
            end(c);
    }
    if (errno != EAGAIN && errno != ECONNABORTED)
        die("accept: %s", strerror(errno));
}

static void on_event(struct connection *c, uint32_t events)
{
    if (events & EPOLLOUT) {
        if (!pump(c))
            end(c);
    } else if (delay_ns > 0) {
        postpone(c);
    } else if (!serve(c)) {
        end(c);
    }
}

static int listen_on(unsigned port)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = loopback(port);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0)
        die("port %u: %s", port, strerror(errno));
    return listener;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 4 && i < sizeof protocols / sizeof *protocols; i++)
        if (strcmp(argv[1], protocols[i].name) == 0)
            protocol = &protocols[i];
    if (protocol == NULL)
        die("usage: store imap|pop3|submission PORT DELAY_US | store auth_http PORT MAIL_PORT");
    argument = (unsigned)atoi(argv[3]);
    delay_ns = protocol->bulk_end != NULL ? argument * INT64_C(1000) : 0;
    for (size_t i = 0; i < CHUNK_SIZE; i++)
        filler[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : (char)('A' + i % 26);

    static char standard_input, listening, lateness; /* their addresses tell events apart from connections' */
    int listener = listen_on((unsigned)atoi(argv[2]));
    epoll = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(epoll, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, &standard_input);
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, &listening);
    watch(epoll, EPOLL_CTL_ADD, timer, EPOLLIN, &lateness);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            void *what = events[i].data.ptr;
            if (what == &standard_input)
                return 0;
            if (what == &listening)
                accept_all(listener);
            else if (what == &lateness)
                serve_late();
            else
                on_event(what, events[i].events);
        }
    }
}
