/*
 * What every unit test starts with: CUnit, and one table of tests per file.
 *
 *     static void adds(void) { CU_ASSERT_EQUAL(1 + 1, 2); }
 *     SW_UNIT_TESTS({"adds", adds})
 */
#ifndef SW_TESTS_UNIT_H
#define SW_TESTS_UNIT_H

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sw_unit_test {
    const char *name;
    void (*run)(void);
};

static inline int sw_unit_main(const char *file, const struct sw_unit_test *tests, size_t n)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return (int)CU_get_error();
    CU_pSuite suite = CU_add_suite(file, NULL, NULL);
    for (size_t i = 0; suite && i < n; i++)
        if (!CU_add_test(suite, tests[i].name, tests[i].run))
            return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    const unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures ? 1 : 0;
}

#define SW_UNIT_TESTS(...)                                                                         \
    int main(void)                                                                                 \
    {                                                                                              \
        static const struct sw_unit_test tests[] = {__VA_ARGS__};                                  \
        return sw_unit_main(__FILE__, tests, sizeof tests / sizeof tests[0]);                      \
    }

/*
 * Real tokenizers and checkpoints that are not ours to ship lie beside the project, in
 * ../shared/data, where somebody has put them. Tests that use them skip elsewhere and say so.
 * Returns the path of `name` there (one static buffer), or NULL after printing that it is absent.
 */
static inline const char *sw_unit_shared(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/../shared/data/%s", SW_SOURCE_DIR, name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        printf("    skipped: %s is not here\n", path);
        return NULL;
    }
    fclose(f);
    return path;
}

#endif
