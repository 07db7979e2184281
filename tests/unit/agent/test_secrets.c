#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent_priv.h"
#include "base/base64.h"

static char folder[64], config_path[96], password_path[96];

static void write_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    cr_assert_not_null(out);
    (void)fputs(text, out);
    cr_assert_eq(fchmod(fileno(out), 0600), 0);
    (void)fclose(out);
}

/* @return the status of GET /stats with this password */
static int status_with(const struct fm_agent *agent, const char *password)
{
    char pair[64], request[256], answer[64] = "";
    (void)snprintf(pair, sizeof pair, "ops:%s", password);
    struct fm_buf token;
    fm_buf_init(&token, 0);
    fm_base64_put(&token, pair, strlen(pair));
    (void)snprintf(request, sizeof request,
                   "GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                   "Authorization: Basic %s\r\n\r\n",
                   fm_buf_str(&token));
    fm_buf_clear(&token);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(fm_http_port(agent->http)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;
    cr_assert_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&ready, 1, 5000), 1);
    cr_assert_gt(recv(fd, answer, sizeof answer - 1, 0), 12);
    (void)close(fd);
    cr_assert_eq(sscanf(answer, "HTTP/1.1 %d", &status), 1);
    return status;
}

Test(secrets, of_the_way_out_are_noticed_when_their_files_change)
{
    static const char *const keys[] = {"key_password_file", "http_proxy_password_file"};
    (void)snprintf(folder, sizeof folder, "/tmp/fm-secrets-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(config_path, sizeof config_path, "%s/config.ini", folder);
    (void)snprintf(password_path, sizeof password_path, "%s/password", folder);
    for (size_t i = 0; i < 2; i++) {
        char text[256];
        struct fm_config *config = NULL;
        struct fm_rest_opts opts;
        struct fm_arena arena;
        struct fm_err err = {0};
        (void)snprintf(text, sizeof text, "[rest]\nurl = https://h\n%s = %s\n", keys[i],
                       password_path);
        write_file(config_path, text);
        write_file(password_path, "first\n");
        fm_arena_init(&arena, 0);
        cr_assert_eq(fm_config_load(&config, config_path, NULL, &err), FM_OK, "%s", err.text);
        cr_assert_eq(fm_plan_rest(&opts, config, NULL, &arena, &err), FM_OK, "%s", err.text);
        cr_expect_not(fm_plan_way_out_changed(config, &opts), "%s", keys[i]);
        write_file(password_path, "the second\n");
        cr_expect(fm_plan_way_out_changed(config, &opts), "%s", keys[i]);
        cr_assert_eq(fm_plan_rest(&opts, config, NULL, &arena, &err), FM_OK, "%s", err.text);
        cr_expect_not(fm_plan_way_out_changed(config, &opts), "%s", keys[i]);
        fm_arena_wipe(&arena);
        fm_config_free(config);
    }
    (void)unlink(config_path);
    (void)unlink(password_path);
    (void)rmdir(folder);
}

Test(secrets, the_local_server_takes_over_a_changed_password_file)
{
    (void)snprintf(folder, sizeof folder, "/tmp/fm-secrets-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(config_path, sizeof config_path, "%s/config.ini", folder);
    (void)snprintf(password_path, sizeof password_path, "%s/password", folder);
    char text[256];
    (void)snprintf(text, sizeof text,
                   "[rest]\nurl = sandbox\n[http]\nlisten = 127.0.0.1:0\nusername = ops\n"
                   "password_file = %s\n",
                   password_path);
    write_file(config_path, text);
    write_file(password_path, "first\n");
    struct fm_agent agent = {.config = NULL};
    struct fm_err err = {0};
    cr_assert_eq(fm_config_load(&agent.config, config_path, NULL, &err), FM_OK, "%s", err.text);
    cr_assert_eq(fm_agent_start_http(&agent, agent.config, &err), FM_OK, "%s", err.text);
    cr_expect_neq(status_with(&agent, "first"), 401);
    cr_expect_eq(status_with(&agent, "the-second"), 401);
    write_file(password_path, "the-second\n");
    fm_agent_refresh_http(&agent);
    cr_expect_eq(status_with(&agent, "first"), 401);
    cr_expect_neq(status_with(&agent, "the-second"), 401);
    cr_assert_eq(chmod(password_path, 0644), 0); /* refused: the old one stays */
    fm_agent_refresh_http(&agent);
    cr_expect_neq(status_with(&agent, "the-second"), 401);
    fm_http_stop(agent.http);
    fm_config_free(agent.config);
    (void)unlink(config_path);
    (void)unlink(password_path);
    (void)rmdir(folder);
}
