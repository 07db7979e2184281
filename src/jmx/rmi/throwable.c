/* Exceptions of the peer: what they mean and how they are told. */
#include <string.h>

#include "jmx/rmi/convert_priv.h"

enum { MAX_CAUSES = 16 };

/* Where wrappers keep what they wrap; for everything else it is "cause". */
static const struct {
    const char *class_name;
    const char *field;
} wrappers[] = {
    {"javax.management.MBeanException", "exception"},
    {"javax.management.ReflectionException", "exception"},
    {"javax.management.RuntimeMBeanException", "runtimeException"},
    {"javax.management.RuntimeOperationsException", "runtimeException"},
    {"javax.management.RuntimeErrorException", "error"},
    {"javax.management.remote.JMXServerErrorException", "cause"},
    {"java.rmi.RemoteException", "detail"},
    {"java.lang.reflect.UndeclaredThrowableException", "undeclaredThrowable"},
    {"java.lang.reflect.InvocationTargetException", "target"},
};

static const struct fm_ser_node *inner(const struct fm_ser_node *node)
{
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0]; i++) {
        if (!fm_ser_is_a(node, wrappers[i].class_name))
            continue;
        const struct fm_ser_node *wrapped = fm_ser_child(node, wrappers[i].field);
        if (wrapped != NULL && wrapped->kind == FM_SER_OBJECT)
            return wrapped;
    }
    return fm_ser_child(node, "cause");
}

static const struct fm_ser_node *innermost(const struct fm_ser_node *node)
{
    for (int i = 0; i < MAX_CAUSES; i++) {
        const struct fm_ser_node *cause = inner(node);
        if (cause == NULL || cause->kind != FM_SER_OBJECT || cause == node)
            break;
        node = cause;
    }
    return node;
}

static const char *message_of(const struct fm_ser_node *node)
{
    const char *text = fm_ser_string(fm_ser_child(node, "detailMessage"));
    return text == NULL ? "" : text;
}

/* Whether a node of the causes has this class, or a message with this text. */
static bool chain_has(const struct fm_ser_node *node, const char *class_name, const char *text)
{
    for (int i = 0; i < MAX_CAUSES && node != NULL && node->kind == FM_SER_OBJECT; i++) {
        if (fm_ser_is_a(node, class_name) && strstr(message_of(node), text) != NULL)
            return true;
        const struct fm_ser_node *cause = inner(node);
        node = cause == node ? NULL : cause;
    }
    return false;
}

static enum fm_code tell(struct fm_err *err, enum fm_code code, const char *what,
                         const struct fm_ser_node *node)
{
    const char *message = message_of(node);
    return fm_err_set(err, code, "%s: %.80s%s%.150s", what, fm_ser_class_name(node),
                      *message == '\0' ? "" : ": ", message);
}

static enum fm_code judge_login(const struct fm_ser_node *node, struct fm_err *err)
{
    if (chain_has(node, "java.lang.SecurityException", "Credentials required"))
        return fm_err_set(err, FM_EAUTH,
                          "the JVM wants a user name and password (Credentials required); set "
                          "username and password_file");
    if (chain_has(node, "java.lang.SecurityException", "Access denied"))
        return tell(err, FM_EAUTH,
                    "the JVM knows the user but its access file gives no right to read", node);
    return tell(err, FM_EAUTH,
                "the JVM refused user name or password (check username and password_file of this "
                "[target:NAME])",
                innermost(node));
}

static enum fm_code judge_server(const struct fm_ser_node *node, struct fm_err *err)
{
    if (chain_has(node, "java.io.InvalidClassException", "REJECTED"))
        return fm_err_set(err, FM_EREMOTE,
                          "a serial filter of the JVM rejected the call (filter status: REJECTED); "
                          "allow javax.management.* and java.lang.* in "
                          "com.sun.management.jmxremote.serial.filter.pattern or jdk.serialFilter");
    return tell(err, FM_EREMOTE, "the JVM did not understand the call", innermost(node));
}

/* Fatal kinds: the server may have left our arguments unread, see the reference, 3.5. */
static bool out_of_step(const struct fm_ser_node *node)
{
    return fm_ser_is_a(node, "java.rmi.ServerException") ||
           fm_ser_is_a(node, "java.rmi.ServerError") ||
           fm_ser_is_a(node, "java.rmi.NoSuchObjectException");
}

static enum fm_code judge_call(const struct fm_ser_node *node, bool login, struct fm_err *err)
{
    const struct fm_ser_node *reason = innermost(node);
    if (fm_ser_is_a(node, "javax.management.AttributeNotFoundException"))
        return tell(err, FM_ENOTFOUND, "no such attribute", node);
    if (fm_ser_is_a(node, "javax.management.InstanceNotFoundException"))
        return tell(err, FM_ENOTFOUND, "no such MBean", node);
    if (fm_ser_is_a(node, "java.lang.SecurityException"))
        return login ? judge_login(node, err)
                     : tell(err, FM_EPERM, "the JVM does not allow this user to read", reason);
    if (fm_ser_is_a(node, "java.rmi.NoSuchObjectException"))
        return tell(err, FM_EGONE, "the JVM no longer knows the JMX connection", node);
    if (fm_ser_is_a(node, "java.rmi.NotBoundException"))
        return tell(err, FM_ECONF, "nothing of this name is bound; check port and path of the URL",
                    node);
    if (fm_ser_is_a(node, "java.rmi.ServerException") || fm_ser_is_a(node, "java.rmi.ServerError"))
        return judge_server(node, err);
    if (fm_ser_is_a(node, "javax.management.RuntimeMBeanException") &&
        fm_ser_is_a(reason, "java.lang.UnsupportedOperationException"))
        return tell(err, FM_EREMOTE, "not supported by this JVM", reason);
    if (fm_ser_is_a(node, "javax.management.ReflectionException") ||
        fm_ser_is_a(node, "javax.management.InvalidAttributeValueException"))
        return tell(err, FM_EREMOTE, "the MBean cannot be asked so", reason);
    if (fm_ser_is_a(node, "java.io.NotSerializableException"))
        return tell(err, FM_EREMOTE, "the value cannot leave the JVM", node);
    if (fm_ser_is_a(node, "java.io.IOException") && !fm_ser_is_a(node, "java.rmi.RemoteException"))
        return tell(err, FM_EGONE, "the JVM is closing the JMX connection", node);
    return tell(err, FM_EREMOTE, "the MBean failed", reason);
}

struct fm_throwable fm_throwable_judge(const struct fm_ser_node *node, bool login,
                                       struct fm_err *err)
{
    struct fm_throwable out = {.code = judge_call(node, login, err), .closes = out_of_step(node)};
    out.gone = out.code == FM_EGONE;
    return out;
}
