#!/usr/bin/perl
# Runs test programs through TAP::Harness, two at a time and in the order given, and ends with "N passed, N
# failed, N skipped". Each argument is an executable that prints TAP (cmocka does with
# CMOCKA_MESSAGE_OUTPUT=TAP), behind the assignments of its environment if it needs some; all of that is its
# name. A program that dies or prints no plan counts as one failure, one that skips all it has as one skipped.
use strict;
use warnings;
use TAP::Harness;

# Of each program; the longest takes some 15 minutes. This is for hangs: a gate of 90 minutes, in which the last test begins before the 55th,
# ends with the name of what hung.
my $deadline = $ENV{SB_CHECK_DEADLINE} // 2000;

$ENV{CMOCKA_MESSAGE_OUTPUT} = 'TAP';
$ENV{OMP_WAIT_POLICY} //= 'passive';
$ENV{GOMP_SPINCOUNT} //= 1000;
my $harness = TAP::Harness->new({
    exec => sub { ['tests/deadline.pl', $deadline, split ' ', $_[1]] },
    jobs => $ENV{SB_CHECK_JOBS} // 2, timer => 1, failures => 1, comments => 1, merge => 0,
});

my (%reasons, $skipped, $skipped_whole);
$skipped = $skipped_whole = 0;
$harness->callback(made_parser => sub {
    my ($parser) = @_;
    $parser->callback(test => sub {
        my ($test) = @_;
        return unless $test->has_skip && $test->is_ok;
        $skipped++;
        $reasons{$test->explanation}++;
    });
    $parser->callback(plan => sub {
        my ($plan) = @_;
        return unless $plan->has_skip;
        $skipped_whole++;
        $reasons{$plan->explanation}++;
    });
});

my $result = $harness->runtests(@ARGV);
my $failed = $result->failed + $result->todo_passed;
my %bad = map { $_ => 1 } $result->exit, $result->wait, $result->parse_errors;
$failed++ for grep { my $name = $_; !grep { $_ eq $name } $result->failed } keys %bad;
print "skipped: $reasons{$_}: $_\n" for sort keys %reasons;
printf "%d passed, %d failed, %d skipped\n", $result->passed - $skipped, $failed, $skipped + $skipped_whole;
exit($failed ? 1 : 0);
