/* Every recorded answer of three real proxies, classified: tests/data/rest-vectors-expected.tsv. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        if (strcmp(kind, "probe") == 0) {
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
