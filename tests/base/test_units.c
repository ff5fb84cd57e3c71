/* Sizes, rates and durations: what is read, what is refused, what is printed. */
#include "base/units.h"
#include "unit.h"

static void sizes_are_read(void)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"24GiB", 24ull << 30},
                {"24G", 24ull << 30},
                {"24GB", 24000000000ull},
                {"1.5T", 3ull << 39},
                {"512M", 512 << 20},
                {"1000", 1000},
                {"0", 0},
                {"64 GiB", 64ull << 30}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t bytes = 1;
        CU_ASSERT_EQUAL(sw_size_parse(good[i].text, &bytes), SW_OK);
        CU_ASSERT_EQUAL(bytes, good[i].bytes);
    }
    static const char *const bad[] = {"", "G", "-1G", "12Q", "1e400G", "nan", "12 GiB x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t bytes;
        CU_ASSERT_EQUAL(sw_size_parse(bad[i], &bytes), SW_EUSAGE);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "is not a size"));
    }
}

static void rates_are_read(void)
{
    double rate = 0;
    CU_ASSERT_EQUAL(sw_rate_parse("672GB/s", &rate), SW_OK);
    CU_ASSERT_DOUBLE_EQUAL(rate, 672e9, 1);
    CU_ASSERT_EQUAL(sw_rate_parse("0GB/s", &rate), SW_EUSAGE);
    CU_ASSERT_EQUAL(sw_rate_parse("12GB", &rate), SW_EUSAGE);
}

static void sizes_are_printed(void)
{
    char out[16];
    CU_ASSERT_STRING_EQUAL(sw_size_format(0, out, sizeof out), "0 B");
    CU_ASSERT_STRING_EQUAL(sw_size_format(24ull << 30, out, sizeof out), "24.0 GiB");
    CU_ASSERT_STRING_EQUAL(sw_size_format(1536, out, sizeof out), "1.50 KiB");
    CU_ASSERT_STRING_EQUAL(sw_seconds_format(0.00123, out, sizeof out), "1.2 ms");
    CU_ASSERT_STRING_EQUAL(sw_seconds_format(35, out, sizeof out), "35 s");
}

static void numbers_have_no_exponent(void)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},         {0.5574, "0.557"},    {1, "1"},
                 {16.24, "16.2"},  {999.6, "1000"},      {1607.3, "1610"},
                 {28641, "28600"}, {3021337, "3020000"}, {99960, "100000"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[16];
        CU_ASSERT_STRING_EQUAL(sw_number_format(cases[i].value, out, sizeof out), cases[i].text);
    }
}

static void layers_are_printed(void)
{
    char out[32];
    CU_ASSERT_STRING_EQUAL(sw_layers_format(3, 6, out, sizeof out), "layers 3-8");
    CU_ASSERT_STRING_EQUAL(sw_layers_format(3, 1, out, sizeof out), "layer 3");
    CU_ASSERT_STRING_EQUAL(sw_layers_format(3, 0, out, sizeof out), "no layers");
}

SW_UNIT_TESTS({"sizes are read", sizes_are_read}, {"rates are read", rates_are_read},
              {"sizes are printed", sizes_are_printed},
              {"numbers have no exponent", numbers_have_no_exponent},
              {"layers are printed", layers_are_printed})
