/* The way out beside its yardstick, in one run on one sink, over HTTP and HTTPS: records of 300
 * bytes, batches of 1000.
 *
 * reference: each record rendered straight into the batch, libcurl, the answer scanned. bare:
 * libcurl posting one ready body. own: records rendered into chunks, the spool, the sender.
 * produce: the program, from a file of JSON lines. Java and Python: see RestProducer.java and
 * producer.py; left out, with a word, where they cannot run.
 *
 * usage: bench_reference [RECORDS [LETTERS [ROUNDS]]]    B = the build folder, BENCH_PYTHON = a
 * python3 with requests. Letters: b bare, m memory, n and f spool (N and F: fed faster than it is
 * sent, so that it grows), p and P produce, o other programs; s anywhere: only HTTPS.
 *
 * What the letters name is done ROUNDS times (5; N, F, P and o once), with a run of the reference
 * before and after each: a ratio compares neighbours in time, with the mean of both. Told are the
 * medians of all rounds, and the lowest and highest ratio.
 */
#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy.h"
#include "rest/rest.h"

enum {
    BATCH = 1000,
    BODY = 600 * 1024,
    AHEAD = 6 * BATCH,
    MEMORY = 12 << 20 /* as produce has it */
};

static char dir[] = "/tmp/fm-reference-XXXXXX";
static size_t records = 200000;
static const char *letters = "bmnfpPo";
static unsigned rounds = 5;

enum { ROUNDS_MAX = 256, KINDS = 16 };

struct run {
    double cpu, wall;
};

/* All runs of one kind over one way. */
struct kind {
    const char *name; /* NULL: free */
    double limit; /* of the ratio; 0: none */
    double least_rate; /* beside the reference's; 0: no limit */
    size_t n;
    double rate[ROUNDS_MAX], million[ROUNDS_MAX], ratio[ROUNDS_MAX];
};

struct way {
    const char *scheme;
    char url[64];
    char ca[96]; /* "": none */
    double yardstick; /* CPU of the reference when it ran last */
    struct kind reference, kinds[KINDS];
};

static double cpu_of(int who)
{
    struct rusage u;
    (void)getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- a record ---- */

static void put_head(struct fm_buf *out)
{
    fm_buf_puts(out, "{\"v\":1,\"agent\":\"edge-7\",");
}

static void put_rest(struct fm_buf *out, uint64_t seq)
{
    fm_buf_puts(out, "\"timestamp\":");
    fm_buf_u64(out, 1763812800000U + seq);
    fm_buf_puts(out, ",\"host\":\"web-1\",\"target\":\"orders\",\"bean\":\"java.lang:name=G1 Young "
                     "Generation,type=GarbageCollector\",\"domain\":\"java.lang\",\"properties\":{"
                     "\"name\":\"G1 Young Generation\"},\"attributes\":{\"CollectionCount\":");
    fm_buf_u64(out, seq);
    fm_buf_puts(out, ",\"CollectionTime\":");
    fm_buf_u64(out, 3 * seq);
    fm_buf_puts(out, "}}");
}

static void put_record(struct fm_buf *out, uint64_t seq)
{
    put_head(out);
    fm_buf_puts(out, "\"stream\":\"3f9c2a71d04be811\",\"seq\":");
    fm_buf_u64(out, seq);
    fm_buf_putc(out, ',');
    put_rest(out, seq);
}

/* ---- other programs ---- */

/* @param out  its CPU and wall time  @return exit code */
static int run(const char *const argv[], struct run *out)
{
    double before = cpu_of(RUSAGE_CHILDREN);
    int64_t start = fm_clock_ns();
    int status = 1;
    pid_t pid = fork();
    if (pid == 0) {
        int quiet = open("/dev/null", O_RDWR);
        (void)dup2(quiet, 0);
        (void)dup2(quiet, 1);
        (void)dup2(quiet, 2);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv); /* which does not change it */
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 127;
    out->cpu = cpu_of(RUSAGE_CHILDREN) - before;
    out->wall = (double)(fm_clock_ns() - start) / 1e9;
    return WEXITSTATUS(status);
}

/* ---- what is told ---- */

static void note(struct kind *kind, const struct run *run, double yardstick)
{
    if (kind->n == ROUNDS_MAX)
        return;
    kind->rate[kind->n] = (double)records / run->wall;
    kind->million[kind->n] = run->cpu * 1e6 / (double)records;
    kind->ratio[kind->n++] = run->cpu / yardstick;
}

static struct kind *kind_of(struct way *way, const char *name, double limit)
{
    size_t i = 0;
    while (i < KINDS - 1 && way->kinds[i].name != NULL && strcmp(way->kinds[i].name, name) != 0)
        i++;
    way->kinds[i].name = name;
    way->kinds[i].limit = limit;
    return &way->kinds[i];
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Sorts. */
static double median(double *list, size_t n)
{
    qsort(list, n, sizeof *list, ascending);
    return n % 2 == 1 ? list[n / 2] : (list[n / 2 - 1] + list[n / 2]) / 2;
}

static void tell(struct way *way, struct kind *kind)
{
    double ratio = median(kind->ratio, kind->n);
    (void)printf("reference %-5s %-24s %8.0f records/s, %5.2f CPU s a million, %5.2f x",
                 way->scheme, kind->name, median(kind->rate, kind->n),
                 median(kind->million, kind->n), ratio);
    if (kind->n > 1 && kind != &way->reference)
        (void)printf(" [%.2f to %.2f in %zu runs]", kind->ratio[0], kind->ratio[kind->n - 1],
                     kind->n);
    if (kind->limit > 0)
        (void)printf(" (limit %.2f: %s)", kind->limit, ratio <= kind->limit ? "holds" : "MISSED");
    if (kind->least_rate > 0) {
        double rate = median(kind->rate, kind->n) / median(way->reference.rate, way->reference.n);
        (void)printf("; rate %.2f x (at least %.1f: %s)", rate, kind->least_rate,
                     rate >= kind->least_rate ? "holds" : "MISSED");
    }
    (void)printf("\n");
    (void)fflush(stdout);
}

/* ---- libcurl ---- */

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    fm_buf_put(arg, data, size * n);
    return size * n;
}

static bool all_accepted(const struct fm_buf *answer)
{
    const char *p = answer->data, *end = p + answer->len;
    size_t n = 0;
    for (; (p = memmem(p, (size_t)(end - p), "\"error_code\":", 13)) != NULL; n++) {
        p += 13;
        if (p < end && *p != 'n')
            return false;
    }
    return n == BATCH;
}

static void fill_body(struct fm_buf *body, uint64_t first)
{
    fm_buf_reset(body);
    fm_buf_puts(body, "{\"records\":[");
    for (uint64_t i = 0; i < BATCH; i++) {
        fm_buf_puts(body,
                    i > 0 ? ",{\"key\":\"web-1\",\"value\":" : "{\"key\":\"web-1\",\"value\":");
        put_record(body, first + i);
        fm_buf_putc(body, '}');
    }
    fm_buf_puts(body, "]}");
}

/* render: each body anew, each answer scanned. */
static struct run by_curl(const struct way *way, bool render)
{
    struct fm_buf body, answer;
    char url[96];
    CURL *curl = curl_easy_init();
    struct curl_slist *headers =
        curl_slist_append(NULL, "Content-Type: application/vnd.kafka.json.v2+json");
    headers = curl_slist_append(headers, "Expect:");
    fm_buf_init(&body, 0);
    fm_buf_init(&answer, 0);
    (void)snprintf(url, sizeof url, "%s/topics/t", way->url);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    if (way->ca[0] != '\0')
        curl_easy_setopt(curl, CURLOPT_CAINFO, way->ca);
    double cpu = cpu_of(RUSAGE_SELF);
    int64_t start = fm_clock_ns();
    fill_body(&body, 1);
    for (size_t i = 0; i < records / BATCH; i++) {
        if (render && i > 0)
            fill_body(&body, i * BATCH + 1);
        fm_buf_reset(&answer);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
        CURLcode rc = curl_easy_perform(curl);
        if (rc != CURLE_OK || (render && !all_accepted(&answer)))
            proxy_fail(rc != CURLE_OK ? curl_easy_strerror(rc) : "a record was refused");
    }
    struct run run = {.wall = (double)(fm_clock_ns() - start) / 1e9,
                      .cpu = cpu_of(RUSAGE_SELF) - cpu};
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    fm_buf_clear(&body);
    fm_buf_clear(&answer);
    return run;
}

/* ---- our own way ---- */

struct own {
    struct fm_spool *spool;
    struct fm_rest *rest;
    bool ready;
};

static void on_commit(void *arg)
{
    struct own *own = arg;
    if (own->ready)
        fm_rest_wakeup(own->rest);
}

static void must(enum fm_code code, const struct fm_err *err)
{
    if (code != FM_OK)
        proxy_fail(fm_err_text(err));
}

/* Wait while the sender is more than so many records behind. */
static void keep_pace(struct fm_spool *spool, size_t ahead)
{
    struct fm_spool_topic topic = {.pending = 0};
    size_t n = 0;
    do {
        fm_spool_topics(spool, &topic, 1, &n);
    } while (n > 0 && topic.pending > ahead && (fm_sleep_ms(1), true));
}

/* @param ahead  0: as fast as the spool takes them, whether the sender keeps up or not */
static void feed(struct fm_spool *spool, size_t ahead)
{
    struct fm_chunk *chunk = NULL;
    struct fm_err err = {0};
    struct fm_buf value;
    fm_buf_init(&value, 0);
    for (uint64_t seq = 1; seq <= records; seq++) {
        fm_buf_reset(&value);
        put_head(&value);
        uint32_t id_at = (uint32_t)value.len;
        put_rest(&value, seq);
        const struct fm_record rec = {.time_ms = 1763812800000,
                                      .partition = FM_NO_PARTITION,
                                      .key = "web-1",
                                      .key_len = 5,
                                      .value = value.data,
                                      .value_len = value.len,
                                      .id_at = id_at};
        if (chunk == NULL)
            must(fm_chunk_new(&chunk, "t", &err), &err);
        must(fm_chunk_add(chunk, &rec, NULL, 0, &err), &err);
        if (fm_chunk_bytes(chunk) < FM_CHUNK_BYTES - 512 && seq < records)
            continue;
        while (fm_spool_append(spool, &chunk, &err) == FM_EFULL)
            must(fm_spool_flush(spool, 60000, &err), &err);
        if (ahead > 0)
            keep_pace(spool, ahead);
    }
    fm_buf_clear(&value);
}

static struct run by_us(const struct way *way, const char *path, bool full, size_t ahead)
{
    struct own own = {.spool = NULL};
    struct fm_err err = {0};
    const char *const urls[] = {way->url};
    const struct fm_spool_opts spool = {.path = path,
                                        .agent = "edge-7",
                                        .machine_id = "m",
                                        .max_size = path != NULL ? 4ULL << 30 : MEMORY,
                                        .on_full = FM_SPOOL_BLOCK,
                                        .sync_full = full,
                                        .commit_ms = 200,
                                        .on_commit = on_commit,
                                        .on_commit_arg = &own};
    struct fm_rest_opts rest = {
        .urls = urls, .n_urls = 1, .batch_records = BATCH, .batch_bytes = BODY, .linger_ms = 1000};
    if (way->ca[0] != '\0')
        rest.tls.ca_file = way->ca;
    must(fm_spool_open(&own.spool, &spool, &err), &err);
    rest.spool = own.spool;
    must(fm_rest_new(&own.rest, &rest, &err), &err);
    double cpu = cpu_of(RUSAGE_SELF);
    int64_t start = fm_clock_ns();
    own.ready = true;
    must(fm_rest_start(own.rest, &err), &err);
    feed(own.spool, ahead);
    fm_rest_end_of_input(own.rest);
    must(fm_rest_drain(own.rest, 60000, &err), &err);
    struct run run = {.wall = (double)(fm_clock_ns() - start) / 1e9,
                      .cpu = cpu_of(RUSAGE_SELF) - cpu};
    fm_rest_stop(own.rest, 1000);
    (void)fm_rest_join(own.rest, 5000);
    fm_spool_stop(own.spool);
    (void)fm_rest_free(own.rest);
    fm_spool_free(own.spool, 5000);
    return run;
}

static void write_lines(const char *path)
{
    struct fm_buf line;
    FILE *file = fopen(path, "w");
    fm_buf_init(&line, 0);
    for (uint64_t seq = 1; file != NULL && seq <= records; seq++) {
        fm_buf_reset(&line);
        put_record(&line, seq);
        fm_buf_putc(&line, '\n');
        (void)fwrite(line.data, 1, line.len, file);
    }
    if (file == NULL || fclose(file) != 0)
        proxy_fail("no room for the lines");
    fm_buf_clear(&line);
}

static struct run by_produce(const struct way *way, bool spool)
{
    char program[200], config[96], lines[96], folder[96], url[128], ca[160];
    const char *build = getenv("B");
    struct run result = {.wall = 1};
    (void)snprintf(program, sizeof program, "%s/firstmile", build != NULL ? build : "build");
    (void)snprintf(config, sizeof config, "%s/config.ini", dir);
    (void)snprintf(lines, sizeof lines, "%s/lines.json", dir);
    (void)snprintf(folder, sizeof folder, "%s/produced-%s", dir, way->scheme);
    (void)snprintf(url, sizeof url, "rest.url=%s", way->url);
    (void)snprintf(ca, sizeof ca, "rest.ca_file=%s", way->ca);
    const char *const argv[] = {program,   "-q",
                                "-c",      config,
                                "-o",      url,
                                "-o",      "batch.records=1000",
                                "-o",      "batch.bytes=600KiB",
                                "-o",      ca,
                                "produce", "t",
                                lines,     "-k",
                                "web-1",   spool ? "--spool" : NULL,
                                folder,    NULL};
    if (run(argv, &result) != 0)
        proxy_fail("produce failed");
    return result;
}

/* ---- Java and Python ---- */

static void by_other(struct way *way, const char *name, const char *const argv[])
{
    struct run result = {.wall = 1};
    if (run(argv, &result) == 0)
        note(kind_of(way, name, 0), &result, way->yardstick);
    else
        (void)printf("reference %-5s %-24s left out: %s does not run here\n", way->scheme, name,
                     argv[0]);
}

static void others(struct way *way)
{
    char n[24], classes[96], url[64], ca[96];
    char *python = getenv("BENCH_PYTHON");
    char *ca_or_end = way->ca[0] != '\0' ? ca : NULL;
    (void)snprintf(n, sizeof n, "%zu", records);
    (void)snprintf(classes, sizeof classes, "%s/classes", dir);
    (void)snprintf(url, sizeof url, "%s", way->url);
    (void)snprintf(ca, sizeof ca, "%s", way->ca);
    const char *const java[] = {"java", "-Xmx256m", "-cp", classes,   "RestProducer",
                                url,    "t",        n,     ca_or_end, NULL};
    const char *const requests[] = {python != NULL ? python : "python3",
                                    "tests/bench/producer.py",
                                    url,
                                    "t",
                                    n,
                                    ca_or_end,
                                    NULL};
    by_other(way, "Java HttpClient, cold", java);
    by_other(way, "Python requests", requests);
}

/* ---- all of it ---- */

static bool wanted(char letter)
{
    return strchr(letters, letter) != NULL;
}

/* What a letter stands for. */
static const struct what {
    char letter;
    bool once; /* not in each round: it takes long */
    const char *name;
    double limit;
} whats[] = {
    {'b', false, "bare libcurl", 0},
    {'m', false, "own, memory", 1.25},
    {'n', false, "own, spool, normal", 2.0},
    {'f', false, "own, spool, full", 2.3},
    {'p', false, "produce", 1.5},
    {'N', true, "own, spool, normal, fast", 0},
    {'F', true, "own, spool, full, fast", 0},
    {'P', true, "produce --spool (full)", 0},
    {'o', true, NULL, 0},
};

static struct run measure(const struct way *way, char letter, unsigned turn)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/%c-%s-%u", dir, letter, way->scheme, turn);
    switch (letter) {
    case 'm':
        return by_us(way, NULL, false, 0);
    case 'n':
    case 'N':
        return by_us(way, path, false, letter == 'n' ? AHEAD : 0);
    case 'f':
    case 'F':
        return by_us(way, path, true, letter == 'f' ? AHEAD : 0);
    case 'p':
    case 'P':
        return by_produce(way, letter == 'P');
    default:
        return by_curl(way, letter != 'b');
    }
}

static double run_reference(struct way *way)
{
    struct run reference = measure(way, 'r', 0);
    note(&way->reference, &reference, reference.cpu);
    return reference.cpu;
}

/* All letters once over one way. */
static void round_of(struct way *way, unsigned turn)
{
    way->yardstick = run_reference(way);
    for (size_t i = 0; i < sizeof whats / sizeof *whats; i++) {
        const struct what *what = &whats[i];
        if (!wanted(what->letter) || (what->once && turn > 0))
            continue;
        if (what->name == NULL) {
            others(way);
            continue;
        }
        struct kind *kind = kind_of(way, what->name, what->limit);
        struct run own = measure(way, what->letter, turn);
        double after = run_reference(way);
        kind->least_rate = what->letter == 'm' && way->ca[0] != '\0' ? 0.8 : 0;
        note(kind, &own, (way->yardstick + after) / 2);
        way->yardstick = after;
    }
}

static void tell_all(struct way *way)
{
    if (way->reference.n == 0)
        return;
    way->reference.name = "reference";
    tell(way, &way->reference);
    for (size_t i = 0; i < KINDS && way->kinds[i].name != NULL; i++)
        tell(way, &way->kinds[i]);
}

int main(int argc, char **argv)
{
    struct fm_err err = {0};
    static struct way ways[2] = {{.scheme = "http"}, {.scheme = "https"}};
    struct run other;
    struct proxy proxy;
    char file[96], classes[96];
    if (argc > 1)
        records = strtoul(argv[1], NULL, 10) / BATCH * BATCH;
    if (argc > 2)
        letters = argv[2];
    if (argc > 3)
        rounds = (unsigned)strtoul(argv[3], NULL, 10);
    if (records == 0 || rounds == 0 || rounds > ROUNDS_MAX / KINDS || mkdtemp(dir) == NULL)
        proxy_fail("cannot start");
    proxy_start(&proxy, dir, 0);
    (void)snprintf(ways[1].ca, sizeof ways[1].ca, "%s/ca.pem", dir);
    for (int i = 0; i < 2; i++)
        (void)snprintf(ways[i].url, sizeof ways[i].url, "%s://127.0.0.1:%u", ways[i].scheme,
                       (unsigned)proxy.port[i]);
    (void)snprintf(classes, sizeof classes, "%s/classes", dir);
    const char *const javac[] = {"javac", "-d", classes, "tests/bench/RestProducer.java", NULL};
    if (wanted('o'))
        (void)run(javac, &other);
    (void)snprintf(file, sizeof file, "%s/config.ini", dir);
    (void)close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    (void)snprintf(file, sizeof file, "%s/lines.json", dir);
    if (wanted('p') || wanted('P'))
        write_lines(file);
    must(fm_net_init(&err), &err);
    for (unsigned turn = 0; turn < rounds; turn++)
        for (int i = wanted('s'); i < 2; i++)
            round_of(&ways[i], turn);
    for (int i = 0; i < 2; i++)
        tell_all(&ways[i]);
    proxy_stop(&proxy);
    const char *const clear[] = {"rm", "-rf", dir, NULL};
    return run(clear, &other);
}
