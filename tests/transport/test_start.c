/* Whether ranks are the same program, from what they say of themselves; networks by name. */
#include "transport/network.h"
#include "transport/start.h"
#include "unit.h"

#include <arpa/inet.h>

static enum sw_status judge(int n, const char *const *texts)
{
    char hellos[8][SW_HELLO_BYTES] = {{0}};
    for (int i = 0; i < n; i++)
        snprintf(hellos[i], sizeof hellos[i], "%s", texts[i]);
    sw_error_clear();
    return sw_hello_judge((const char(*)[SW_HELLO_BYTES])hellos, n);
}

static bool says(const char *text)
{
    const bool found = strstr(sw_error_message(), text) != NULL;
    if (!found)
        printf("    \"%s\" is not in: %s\n", text, sw_error_message());
    return found;
}

static void equal_programs_pass(void)
{
    static const char *const same[] = {"h1\n1.0\nabc\nOpen MPI v4.1.4",
                                       "h1\n1.0\nabc\nOpen MPI v4.1.4",
                                       "h2\n1.0\nabc\nOpen MPI v4.1.4"};
    CU_ASSERT_EQUAL(judge(1, same), SW_OK);
    CU_ASSERT_EQUAL(judge(3, same), SW_OK);
}

static void any_difference_is_named_by_host(void)
{
    static const char *const version[] = {
        "h1\n1.0\nabc\nOpen MPI v4.1.4", "h2\n1.1\nabc\nOpen MPI v4.1.4",
        "h2\n1.1\nabc\nOpen MPI v4.1.4", "h3\n1.0\nabc\nOpen MPI v4.1.4"};
    CU_ASSERT_EQUAL(judge(4, version), SW_EDEVICE);
    CU_ASSERT(says("1.0 (source abc, Open MPI v4.1.4) on h1, h3;"));
    CU_ASSERT(says("1.1 (source abc, Open MPI v4.1.4) on h2;"));
    static const char *const source[] = {"h1\n1.0\nabc\nOpen MPI v4.1.4",
                                         "h2\n1.0\nabd\nOpen MPI v4.1.4"};
    CU_ASSERT_EQUAL(judge(2, source), SW_EDEVICE);
    static const char *const library[] = {"h1\n1.0\nabc\nOpen MPI v4.1.4",
                                          "h2\n1.0\nabc\nOpen MPI v5.0.1"};
    CU_ASSERT_EQUAL(judge(2, library), SW_EDEVICE);
    CU_ASSERT(says("Open MPI v5.0.1) on h2"));
}

static void a_strange_hello_is_another_program(void)
{
    static const char *const strange[] = {"h1\n1.0\nabc\nOpen MPI v4.1.4", "", "h3", "h4\n1.0"};
    CU_ASSERT_EQUAL(judge(4, strange), SW_EDEVICE);
    CU_ASSERT(says("install the same"));
}

static void bridges_are_known_by_name(void)
{
    static const char *const bridges[] = {"docker0", "br-0123456789ab", "virbr0", "veth12", "cni0"};
    static const char *const real[] = {"eth0", "ib0", "br0", "br-lan", "br-0123456789xy", "bond0"};
    struct sw_interface interface = {.mask = htonl(0xffff0000u), .address = htonl(0x0a010207u)};
    for (size_t i = 0; i < sizeof bridges / sizeof bridges[0]; i++) {
        snprintf(interface.name, sizeof interface.name, "%s", bridges[i]);
        CU_ASSERT(sw_network_is_bridge(&interface));
    }
    for (size_t i = 0; i < sizeof real / sizeof real[0]; i++) {
        snprintf(interface.name, sizeof interface.name, "%s", real[i]);
        CU_ASSERT(!sw_network_is_bridge(&interface));
    }
    char network[32];
    CU_ASSERT_STRING_EQUAL(sw_network_of(&interface, network, sizeof network), "10.1.0.0/16");
    struct sw_strbuf text = {0};
    sw_network_describe(&interface, 1, &text);
    CU_ASSERT_STRING_EQUAL(text.text, "bond0 10.1.2.7/16");
    sw_strbuf_free(&text);
}

SW_UNIT_TESTS({"equal programs pass", equal_programs_pass},
              {"any difference is named by host", any_difference_is_named_by_host},
              {"a strange hello is another program", a_strange_hello_is_another_program},
              {"bridges are known by name", bridges_are_known_by_name})
