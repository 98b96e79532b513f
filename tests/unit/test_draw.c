/* The page that `./run watch` shows (supervisor/draw.h), character by character, at several sizes: with all
 * there is, with nothing yet, with values that are no numbers, with hostile texts, and in ASCII. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <cmocka.h>

#include "proto/error.h"
#include "supervisor/draw.h"

/* ---- what is drawn ---------------------------------------------------------------------------------------- */

static sb_overview o;

static void say(const char *message)
{
    snprintf(o.message[o.messages++ % SB_OVERVIEW_MESSAGES], SB_OVERVIEW_MESSAGE, "%s", message);
}

/* A run that has just begun: nothing is known but that. */
static void set_new(void)
{
    memset(&o, 0, sizeof o);
    o.run_dir = "runs/demo";
    o.state = (sb_state){ .kind = SB_STATE_LIVES, .text = "starting, since 12:31:08" };
    sb_series_clear(&o.loss);
    sb_series_clear(&o.rate);
    sb_series_clear(&o.measure.trained);
}

static void set_training(void)
{
    set_new();
    o.state = (sb_state){ .kind = SB_STATE_LIVES,
                          .text = "training, since 12:31:08",
                          .known = true,
                          .status = { .step = 120,
                                      .steps = 240,
                                      .loss = 1.234,
                                      .images_per_second = 85.1,
                                      .eta_s = 42,
                                      .waited = 0.03,
                                      .bottleneck = "train",
                                      .phase = "training",
                                      .loaders = 2,
                                      .read = 0.1,
                                      .decode = 1.0,
                                      .augment = 0.25,
                                      .tiles_ready = 12,
                                      .tiles = 16,
                                      .views_ready = 8,
                                      .views = 32,
                                      .device = "CPU, 1 thread" } };
    for (int64_t step = 1; step <= 120; step++) {
        sb_series_add(&o.loss, step, 1 + 2 * exp(-(double)step / 30));
        sb_series_add(&o.rate, step, step % 20 < 10 ? 80 : 90);
    }
    say("trainer: device: CPU");
    say("augment: device: CPU");
}

static void set_measured(void)
{
    set_training();
    snprintf(o.measure.name, sizeof o.measure.name, "kNN top-1");
    o.measure.untrained = 50;
    o.measure.given = 60;
    for (int64_t step = 0; step <= 120; step += 40)
        sb_series_add(&o.measure.trained, step, 60 + (double)step / 6);
}

/* ---- what is expected ------------------------------------------------------------------------------------- */

/* The page as text: a line a row, without the spaces at its end. */
static const char *text_of(const sb_frame *f)
{
    static char text[1 << 18];
    char *at = text;
    for (int row = 0; row < f->height; row++) {
        char *end = at;
        for (int column = 0; column < f->width; column++) {
            const wchar_t character = f->cells[row * f->width + column].character;
            if (character)
                at += wctomb(at, character);
            if (character && character != L' ')
                end = at;
        }
        *end = '\n';
        at = end + 1;
    }
    *at = '\0';
    return text;
}

static void expect(int width, int height, bool utf8, const char *page)
{
    sb_frame f = { .utf8 = utf8 };
    assert_int_equal(sb_frame_resize(&f, width, height), 0);
    sb_draw(&f, &o);
    if (strcmp(text_of(&f), page) != 0) {
        fprintf(stderr, "%d x %d is\n%s", width, height, text_of(&f)); /* fail_msg would cut it */
        fail_msg("and not\n%s", page);
    }
    sb_frame_free(&f);
}

/* Whatever is drawn into a page of this size, each of its characters is one that moves nothing. */
static void sound(int width, int height, bool utf8)
{
    sb_frame f = { .utf8 = utf8 };
    assert_int_equal(sb_frame_resize(&f, width, height), 0);
    sb_draw(&f, &o);
    for (int i = 0; i < f.width * f.height; i++) {
        const wchar_t character = f.cells[i].character,
                      before = i % f.width > 0 ? f.cells[i - 1].character : 0;
        if (!utf8)
            assert_in_range(character, 0x20, 0x7E);
        else if (character == 0) /* the second column of a wide one, which is not the last of its row */
            assert_int_equal(wcwidth(before), 2);
        else
            assert_in_range(wcwidth(character), 1, i % f.width + 1 < f.width ? 2 : 1);
    }
    sb_frame_free(&f);
}

/* ---- the pages -------------------------------------------------------------------------------------------- */

static void test_all(void **state)
{
    (void)state;
    set_measured();
    expect(80, 24, true,
           "runs/demo                                               training, since 12:31:08\n"
           "████████████████████████████████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  50.0 %\n"
           "step 120/240  loss 1.2340  85.1 images/s  ETA 0:42  waited 3 %  slowest: train\n"
           "─ loss 1.0366 ──────────── ─ kNN top-1 80.0 % ─────── ─ images/s 80.0 ──────────\n"
           "    2.9 ⢱                       80                ⢀⠔⠊      90  ⢸⠉⡆⢸⢱ ⢸⢱ ⢸⢱ ⢸⢱ ⢸⢱\n"
           "        ⠈⡆                                     ⢀⡠⠊⠁            ⢸ ⡇⢸⢸ ⢸⢸ ⢸⢸ ⢸⢸ ⢸⢸\n"
           "         ⢱                                   ⡠⠒⠁               ⢸ ⡇⢸⠸⡀⢸⢸ ⢸⢸ ⢸⢸ ⢸⢸\n"
           "          ⢇                               ⢀⠔⠊                  ⢸ ⡇⢸ ⡇⢸⠘⡄⢸⠘⡄⢸⢸ ⡎⢸\n"
           "          ⠘⡄                            ⡠⠒⠁                    ⢸ ⡇⢸ ⡇⢸ ⡇⢸ ⡇⢸⢸ ⡇⢸\n"
           "           ⠸⡀                        ⡠⠔⠉                       ⢸ ⡇⢸ ⡇⢸ ⡇⢸ ⡇⡇⠈⡆⡇⠈\n"
           "            ⠘⡄                     ⠴⠎ ⠤⠄ ⠤⠄ ⠤⠄ ⠤⠄ ⠤⠄           ⢸ ⡇⢸ ⡇⢸ ⡇⡜ ⡇⡇ ⡇⡇\n"
           "             ⠈⠢⡀                                               ⢸ ⡇⢸ ⡇⡎ ⡇⡇ ⡇⡇ ⡇⡇\n"
           "               ⠈⠢⢄                                             ⢸ ⡇⢸ ⡇⡇ ⡇⡇ ⡇⡇ ⡇⡇\n"
           "   1.04           ⠉⠑⠒⠤⠤⢄⣀⣀      50 ⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀⡀      80 ⣀⡸ ⣇⡸ ⣇⠇ ⣇⠇ ⣇⠇ ⣇⠇\n"
           "        1              120         0              120         1              120\n"
           "─ stages: time at work, and what waits for the next ────────────────────────────\n"
           "read      5 %  █░░░░░░░░░░░░░░░░░░░░░░░  2 loaders\n"
           "decode   50 %  ████████████░░░░░░░░░░░░  tiles   12/16   █████████████████░░░░░░\n"
           "augment  25 %  ██████░░░░░░░░░░░░░░░░░░  views    8/32   ██████░░░░░░░░░░░░░░░░░\n"
           "trainer  97 %  ███████████████████████░  CPU, 1 thread\n"
           "─ messages ─────────────────────────────────────────────────────────────────────\n"
           "trainer: device: CPU\n"
           "augment: device: CPU\n"
           "q leaves; the run goes on\n");
}

static void test_ascii(void **state)
{
    (void)state;
    set_measured();
    expect(80, 24, false,
           "runs/demo                                               training, since 12:31:08\n"
           "####################################....................................  50.0 %\n"
           "step 120/240  loss 1.2340  85.1 images/s  ETA 0:42  waited 3 %  slowest: train\n"
           "- loss 1.0366 ------------ - kNN top-1 80.0 % ------- - images/s 80.0 ----------\n"
           "   2.84 *                       80                 **      90   *  *          *\n"
           "         *                                      ***             ** ** *    *  **\n"
           "         *                                   ***                ** ** **   ** **\n"
           "          *                                **                   ** ** **** ** *\n"
           "           *                            ***                     ** *** ** *** *\n"
           "            *                        ***                        *** ** ** ** **\n"
           "             *                     **=   ===   ===             * ** ** ** ** **\n"
           "              **                                               * ** ** ** ** **\n"
           "                ****                                           * *  ** ** ** **\n"
           "   1.04             ******      50 - - - - - - - - -       80 *     *  *  *  *\n"
           "        1              120         0              120         1              120\n"
           "- stages: time at work, and what waits for the next ----------------------------\n"
           "read      5 %  #.......................  2 loaders\n"
           "decode   50 %  ############............  tiles   12/16   #################......\n"
           "augment  25 %  ######..................  views    8/32   ######.................\n"
           "trainer  97 %  #######################.  CPU, 1 thread\n"
           "- messages ---------------------------------------------------------------------\n"
           "trainer: device: CPU\n"
           "augment: device: CPU\n"
           "q leaves; the run goes on\n");
}

static void test_small(void **state)
{
    (void)state;
    set_measured();
    expect(20, 5, true,
           "runs/demo\n"
           "training, since 12:…\n"
           "██████░░░░░░  50.0 %\n"
           "step 120/240\n"
           "loss 1.2340\n");
    expect(40, 12, true,
           "runs/demo       training, since 12:31:08\n"
           "████████████████░░░░░░░░░░░░░░░░  50.0 %\n"
           "step 120/240  loss 1.2340  85.1 images/s\n"
           "ETA 0:42  waited 3 %  slowest: train\n"
           "─ loss 1.0366 ──────────────────────────\n"
           "   2.93 ⠉⠒⠤⢄⣀⡀\n"
           "   1.04      ⠈⠉⠉⠒⠒⠒⠒⠤⠤⠤⠤⠤⠤⠤⢄⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀\n"
           "        1                            120\n"
           "─ messages ─────────────────────────────\n"
           "trainer: device: CPU\n"
           "augment: device: CPU\n"
           "q leaves; the run goes on\n");
    expect(3, 2, false,
           "ru~\n"
           "tr~\n");
}

static void test_nothing_yet(void **state)
{
    (void)state;
    set_new();
    expect(40, 14, true,
           "runs/demo       starting, since 12:31:08\n"
           "─ loss ─────────────────────────────────\n"
           "no value yet\n"
           "\n"
           "\n"
           "\n"
           "\n"
           "\n"
           "\n"
           "\n"
           "─ messages ─────────────────────────────\n"
           "\n"
           "\n"
           "q leaves; the run goes on\n");
}

/* An alarm, a reason over several rows, and what no step came from. */
static void test_trouble(void **state)
{
    (void)state;
    set_training();
    o.state.status.alarm = (sb_alarm_past){ .name = "collapse",
                                            .step = 99,
                                            .what = "the embeddings have become one" };
    o.alarms = 3;
    o.state.kind = SB_STATE_FAILED;
    snprintf(o.state.status.phase, sizeof o.state.status.phase, "failed");
    snprintf(o.state.text, sizeof o.state.text,
             "failed, 12:40:11: trainer cannot go on: the gradient of backbone.layer4.1.conv2.weight is not "
             "finite");
    snprintf(o.trouble, sizeof o.trouble, "opening log/trainer.log: Permission denied");
    expect(60, 20, false,
           "runs/demo\n"
           "failed, 12:40:11: trainer cannot go on: the gradient of\n"
           "backbone.layer4.1.conv2.weight is not finite\n"
           "##########################..........................  50.0 %\n"
           "step 120/240  loss 1.2340  85.1 images/s  waited 3 %\n"
           "slowest: train\n"
           "alarm: collapse at step 99: the embeddings have become one\n"
           "(and 2 before)\n"
           "opening log/trainer.log: Permission denied\n"
           "- loss 1.0366 --------------- - images/s 80.0 --------------\n"
           "   2.87 **                         90   **  *  **  *  **  *\n"
           "          *****                         * ** * * ** * * ** *\n"
           "   1.04        **************      80 **  *   *  *   *  *\n"
           "        1                 120         1                  120\n"
           "- stages: time at work, and what waits for the next --------\n"
           "read      5 %  #..........  2 loaders\n"
           "decode   50 %  ######.....\n"
           "augment  25 %  ###........\n"
           "trainer  97 %  ###########  CPU, 1 thread\n"
           "q leaves\n");
}

/* A loss that is no number is said, and is no point of the curve; nor does a range that no number holds hurt.
 */
static void test_no_numbers(void **state)
{
    (void)state;
    set_new();
    sb_series_add(&o.loss, 1, NAN);
    expect(30, 8, false,
           "runs/demo\n"
           "starting, since 12:31:08\n"
           "- loss nan -------------------\n"
           "no value yet\n"
           "\n"
           "\n"
           "\n"
           "\n");
    sb_series_add(&o.loss, 2, 1e308);
    sb_series_add(&o.loss, 3, -1e308);
    sb_series_add(&o.loss, 4, INFINITY);
    expect(30, 8, false,
           "runs/demo\n"
           "starting, since 12:31:08\n"
           "- loss inf -------------------\n"
           " 1e+308 **********************\n"
           "\n"
           "\n"
           "-1e+308\n"
           "        2                    4\n");
    const struct {
        double value;
        const char *label;
    } labels[] = { { 999.6, "  1e+03" },     { 1234, "   1234" },    { 98765, "  98765" },
                   { -98765, " -98765" },    { 1234567, "1.2e+06" }, { 1.234e-5, "1.2e-05" },
                   { -1.234e-5, " -1e-05" }, { 0.01234, " 0.0123" } };
    sb_frame f = { .utf8 = false };
    assert_int_equal(sb_frame_resize(&f, 30, 8), 0);
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        char line[64];
        sb_series_clear(&o.loss);
        sb_series_add(&o.loss, 1, labels[i].value);
        snprintf(line, sizeof line, "\n%s\n", labels[i].label);
        sb_draw(&f, &o);
        if (!strstr(text_of(&f), line))
            fail_msg("%g: wanted `%s` in %s", labels[i].value, labels[i].label, text_of(&f));
    }
    sb_frame_free(&f);
    o.state.known = true;
    o.state.status = (sb_status){ .step = 1,
                                  .steps = 2,
                                  .loss = NAN,
                                  .images_per_second = INFINITY,
                                  .eta_s = NAN,
                                  .waited = NAN,
                                  .read = NAN,
                                  .decode = INFINITY,
                                  .augment = -1,
                                  .loaders = 1,
                                  .phase = "training" };
    sound(80, 24, true);
    sound(80, 24, false);
}

static void test_hostile(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\x1B[2J\x1B]0;title\x07\x0D\x0A\x7F", /* escapes */
        "\xC2\x9B"
        "2J \xC2\x85 \xE2\x80\xA8", /* C1, a line separator */
        "\xE2\x80\xAE"
        "evil \xE2\x80\x8B \xEF\xBB\xBF", /* right to left, without a width, a byte order mark */
        "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xF0\x9F\x90\x88 wide",
        "a\xCC\x88\xCC\x88\xCC\x88 combined",
        "\xFF\xFE\xC0\x80\xED\xA0\x80 \xE2\x82 no UTF-8",
        "%s%n%1000000d",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        set_measured();
        o.run_dir = texts[i];
        snprintf(o.state.text, sizeof o.state.text, "failed: %s %s %s", texts[i], texts[i], texts[i]);
        snprintf(o.state.status.bottleneck, sizeof o.state.status.bottleneck, "%.15s", texts[i]);
        snprintf(o.state.status.device, sizeof o.state.status.device, "%s", texts[i]);
        snprintf(o.measure.name, sizeof o.measure.name, "%s", texts[i]);
        snprintf(o.trouble, sizeof o.trouble, "%s", texts[i]);
        say(texts[i]);
        for (int width = 1; width <= 90; width += 1 + width / 20)
            for (int height = 1; height <= 40; height += 1 + height / 10) {
                sound(width, height, true);
                sound(width, height, false);
            }
    }
}

static void test_sizes(void **state)
{
    (void)state;
    set_measured();
    sound(1, 1, true);
    sound(200, 60, true);
    sound(SB_FRAME_MOST + 5, 3, true);
    sound(3, SB_FRAME_MOST + 5, false);
}

static int set_locale(void **state)
{
    (void)state;
    return setlocale(LC_CTYPE, "C.UTF-8") ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),         cmocka_unit_test(test_ascii),   cmocka_unit_test(test_small),
        cmocka_unit_test(test_nothing_yet), cmocka_unit_test(test_trouble), cmocka_unit_test(test_no_numbers),
        cmocka_unit_test(test_hostile),     cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, set_locale, NULL);
}
