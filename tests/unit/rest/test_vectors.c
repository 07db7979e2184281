/* Every recorded answer of three real proxies, classified: tests/data/rest-vectors-expected.tsv. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rest/rest_priv.h"
#include "vectors.h"

static enum fm_rest_dialect dialect_of(const char *name)
{
    return strcmp(name, "v3") == 0         ? FM_DIALECT_CONFLUENT_V3
           : strncmp(name, "conf", 4) == 0 ? FM_DIALECT_CONFLUENT_V2
           : strncmp(name, "kara", 4) == 0 ? FM_DIALECT_KARAPACE
                                           : FM_DIALECT_STRIMZI;
}

Test(vectors, each_recorded_answer_has_its_class)
{
    FILE *f = fopen("tests/data/rest-vectors-expected.tsv", "r");
    cr_assert(f != NULL);
    char line[1024];
    size_t seen = 0;
    bool write = getenv("FM_PRINT_VECTORS") != NULL; /* to make the file anew */
    while (fgets(line, sizeof line, f) != NULL) {
        char file[200], kind[20], want[700] = "", path[300], got[700];
        size_t n;
        if (line[0] == '#')
            continue;
        cr_assert(sscanf(line, "%199[^\t]\t%19[^\t]\t%zu\t%699[^\n]", file, kind, &n, want) >= 3);
        snprintf(path, sizeof path, "tests/data/rest-vectors/%s.res", file);
        struct fm_http_answer http;
        char *body;
        cr_assert(vector_read(path, &http, &body), "%s", path);
        struct fm_verdict v[16] = {0};
        struct fm_judgement j;
        struct fm_sent sent = {.dialect = dialect_of(strcmp(kind, "v3") == 0 ? kind : file),
                               .n_records = n};
        if (strcmp(kind, "list") == 0) {
            snprintf(got, sizeof got, "%s",
                     fm_probe_lists(http.body, http.body_len, "vec") ? "LISTED" : "NOT LISTED");
        } else if (strcmp(kind, "clusters") == 0) {
            char id[FM_CLUSTER_ID];
            bool found = fm_v3_cluster(http.body, http.body_len, id);
            snprintf(got, sizeof got, "%s", found ? id : "NONE");
        } else if (strcmp(kind, "probe") == 0) {
            static const char *const names[] = {"GOOD", "MISSING", "DENIED", "OTHER"};
            snprintf(got, sizeof got, "%s", names[fm_probe_judge(sent.dialect, "vec", &http)]);
        } else {
            cr_assert_eq(fm_judge(&j, v, &sent, &http, NULL), FM_OK);
            vector_words(v, n, got, sizeof got);
        }
        if (write)
            fprintf(stderr, "V\t%s\t%s\t%zu\t%s\n", file, kind, n, got);
        else
            cr_assert_str_eq(got, want, "%s: %s, not %s", file, got, want);
        free(body);
        seen++;
    }
    fclose(f);
    cr_assert_geq(seen, 150);
}

static void read_names(const char *folder, const char *known, size_t *n)
{
    char path[200];
    snprintf(path, sizeof path, "tests/data/rest-vectors/%s", folder);
    DIR *d = opendir(path);
    cr_assert_not_null(d, "%s", path);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char file[400];
        size_t len = strlen(e->d_name);
        if (len < 5 || strcmp(e->d_name + len - 4, ".res") != 0)
            continue;
        snprintf(file, sizeof file, "\n%s/%.*s\t", folder, (int)(len - 4), e->d_name);
        bool listed = strstr(known, file) != NULL;
        file[strlen(file) - 1] = '\0';
        cr_expect(listed || vector_of_consumer(file + 1), "nobody reads %s", file + 1);
        (*n)++;
    }
    closedir(d);
}

Test(vectors, no_recorded_answer_is_left_unread)
{
    char *known = calloc(1, 1 << 16);
    FILE *f = fopen("tests/data/rest-vectors-expected.tsv", "r");
    size_t n = 0;
    cr_assert(f != NULL && fread(known, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    read_names("confluent-8.3.1", known, &n);
    read_names("karapace-6.2.0", known, &n);
    read_names("strimzi-1.0.0", known, &n);
    cr_assert_eq(n, 216, "%zu", n);
    free(known);
}
