/* Sends each line of standard input as a record:   rest_produce URL TOPIC
 *
 *   cc -Iinclude rest_produce.c libfirstmile.a $(pkg-config --libs libcurl) ... -o rest_produce */
#include <stdio.h>
#include <string.h>

#include "firstmile/rest.h"

static void done(void *arg, const struct fm_producer_report *report)
{
    unsigned long *accepted = arg;
    if (report->code == FM_OK)
        ++*accepted;
    else
        fprintf(stderr, "refused: %s\n", report->reason);
}

int main(int argc, char **argv)
{
    char line[4096];
    unsigned long accepted = 0;
    struct fm_err err = {0};
    struct fm_producer *producer = NULL;
    if (argc != 3) {
        fprintf(stderr, "usage: rest_produce URL TOPIC\n");
        return 2;
    }
    const char *url = argv[1];
    const struct fm_producer_opts opts = {
        .urls = &url, .n_urls = 1, .send_timeout_ms = 60000, .done = done, .done_arg = &accepted};
    enum fm_code code = fm_producer_open(&producer, &opts, &err);
    while (code == FM_OK && fgets(line, sizeof line, stdin) != NULL) {
        const struct fm_producer_record record = {
            .topic = argv[2], .value = line, .value_len = strcspn(line, "\n"), .bytes = true};
        code = fm_producer_send(producer, &record, &err);
    }
    enum fm_code end = fm_producer_close(producer, 60000, code == FM_OK ? &err : NULL);
    printf("%lu accepted\n", accepted);
    if (code != FM_OK || end != FM_OK)
        fprintf(stderr, "%s\n", fm_err_text(&err));
    return code == FM_OK && end == FM_OK ? 0 : 1;
}
