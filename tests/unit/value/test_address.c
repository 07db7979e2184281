/* Where a JVM's connector is: every form, and what is none. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

#include "value/address.h"

static void expect_address(const char *url, const char *host, unsigned port, const char *name)
{
    struct fm_rmi_address a;
    struct fm_err err = {0};
    cr_assert_eq(fm_rmi_address_parse(&a, url, &err), FM_OK, "%s", err.text);
    cr_expect_str_eq(a.host, host, "%s: %s", url, a.host);
    cr_expect_eq(a.port, port, "%s", url);
    cr_expect_str_eq(a.name, name, "%s: %s", url, a.name);
    fm_rmi_address_clear(&a);
}

Test(address, understands_every_form_of_address)
{
    expect_address("web-1:9010", "web-1", 9010, "jmxrmi");
    expect_address("[fe80::1%eth0]:9010", "fe80::1%eth0", 9010, "jmxrmi");
    expect_address("service:jmx:rmi:///jndi/rmi://h:1/jmxrmi", "h", 1, "jmxrmi");
    expect_address("service:jmx:rmi:///jndi/rmi://h/jmxrmi", "h", 1099, "jmxrmi");
    expect_address("service:jmx:rmi:///jndi/rmi:///karaf-root", "localhost", 1099, "karaf-root");
    expect_address("service:jmx:rmi://x:7/jndi/rmi://[::1]:9/a%2Fb", "::1", 9, "a/b");
    expect_address("service:jmx:rmi://x/jndi/rmi://h:65535/a/b", "h", 65535, "a/b");
}

struct bad_url {
    char url[72];
    char part[40];
};

ParameterizedTestParameters(address, refuses_other_addresses_clearly)
{
    static struct bad_url bad[] = {
        {"service:jmx:jmxmp://h:1", "\"jmxmp\" is not supported"},
        {"service:jmx:remoting-jmx://h:1", "\"remoting-jmx\" is not supported"},
        {"service:jmx:t3://h:1/x", "\"t3\" is not supported"},
        {"service:jmx:rmi:///ior/IOR:00", "IIOP"},
        {"service:jmx:rmi:///jndi/ldap://h/x", "no LDAP"},
        {"service:jmx:rmi:///jndi/rmi://h:1", "name in the registry is missing"},
        {"service:jmx:rmi:///jndi/rmi://h:1/", "name in the registry is missing"},
        {"service:jmx:rmi:///jndi/rmi://h:0/jmxrmi", "1 to 65535"},
        {"service:jmx:rmi:///jndi/rmi://h:65536/jmxrmi", "1 to 65535"},
        {"service:jmx:rmi:///jndi/rmi://h:1x/jmxrmi", "1 to 65535"},
        {"service:jmx:rmi:///jndi/rmi://u@h:1/jmxrmi", "not allowed"},
        {"service:jmx:rmi:///jndi/rmi://h:1/%zz", "hexadecimal"},
        {"service:jmx:rmi:///jndi/rmi://h:1/%00", "hexadecimal"},
        {"service:jmx:rmi:///stub/!!!", "base64"},
        {"service:jmx:rmi:///stub/", "base64"},
        {"service:jmx:rmi://h:1", "path is missing"},
        {"service:jmx:rmi:///other", "path is missing"},
        {"service:jmx:rmi:///jndi/rmi://[]:1/jmxrmi", "no IPv6 address"},
        {"service:jmx:rmi:///jndi/rmi://[1:2]:1/jmxrmi", "no IPv6 address"},
        {"service:jmx:rmi:///jndi/rmi://[::1%]:1/jmxrmi", "no IPv6 address"},
        {"service:jmx:rmi:///jndi/rmi://[::1%a b]:1/jmxrmi", "no IPv6 address"},
        {"service:jmx:rmi:///jndi/rmi://[::1]2:1/jmxrmi", "not allowed"},
        {"service:jmx:rmi:///jndi/rmi://::1:1/jmxrmi", "1 to 65535"},
        {"service:jmx:rmi:///jndi/rmi://h:1:2/jmxrmi", "1 to 65535"},
        {"service:jmx:rmi:///jndi/rmi://h b:1/jmxrmi", "not allowed"},
        {"service:jmx:rmi:///jndi/rmi://h:/jmxrmi", "1 to 65535"},
        {"service:jmx:rmi:///jndi/rmi://h:1/jmx rmi", "holds a blank"},
        {"service:jmx:rmi:///jndi/h:1/jmxrmi", "no LDAP"},
        {"service:jmx:rmi:///rmi://h:1/jmxrmi", "path is missing"},
        {"service:jmx:rmi://u:p@h:1/jndi/rmi://h:1/jmxrmi", "1 to 65535"},
        {"service:jmx:rmi:/jndi/rmi://h:1/jmxrmi", "write service:jmx:rmi:///jndi/"},
        {"service:jmx:rmi:", "write service:jmx:rmi:///jndi/"},
        {"service:jmx:foo", "\"foo\" is not supported"},
        {"service:jmx:", "\"\" is not supported"},
        {"[]:1", "no IPv6 address"},
        {"", "the host is missing"},
        {"h", "the port is missing"},
        {":1", "the host is missing"},
        {"[::1:1", "']'"},
        {"h:-1", "1 to 65535"},
        {"h:", "1 to 65535"},
        {"h b:1", "not allowed"},
        {"ftp://h:1", "\"ftp\" is not supported"},
    };
    return cr_make_param_array(struct bad_url, bad, sizeof bad / sizeof bad[0]);
}

ParameterizedTest(struct bad_url *bad, address, refuses_other_addresses_clearly)
{
    struct fm_rmi_address a;
    struct fm_err err = {0};
    cr_assert_eq(fm_rmi_address_parse(&a, bad->url, &err), FM_ECONF, "%s", bad->url);
    cr_assert_not_null(strstr(err.text, bad->part), "%s: %s", bad->url, err.text);
}

Test(address, an_authority_of_any_url)
{
    static const char *const good[] = {"h",
                                       "h:1",
                                       "[::1]",
                                       "[::1]:9",
                                       "1.2.3.4:65535",
                                       "b\xc3\xbc"
                                       "cher.example:1"};
    static const char *const faults[] = {"",      ":1",  "h:",  "h:0", "h:x",
                                         "h:1:2", "a b", "u@h", "[]",  "[::1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_expect_null(fm_authority_fault(good[i], strlen(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        cr_expect_not_null(fm_authority_fault(faults[i], strlen(faults[i])), "%s", faults[i]);
}
