#!/usr/bin/perl
# Runs test programs through TAP::Harness, two at a time, and ends with "N passed, N failed". Each argument is an executable that
# prints TAP (cmocka does with CMOCKA_MESSAGE_OUTPUT=TAP). A program that dies or prints no plan counts as one failure.
use strict;
use warnings;
use TAP::Harness;

$ENV{CMOCKA_MESSAGE_OUTPUT} = 'TAP';
$ENV{OMP_WAIT_POLICY} //= 'passive';
my $harness = TAP::Harness->new({
    exec => [], jobs => $ENV{SB_CHECK_JOBS} // 2, timer => 1, failures => 1, comments => 1, merge => 0,
});
my $result = $harness->runtests(@ARGV);
my $failed = $result->failed + $result->todo_passed;
my %bad = map { $_ => 1 } $result->exit, $result->wait, $result->parse_errors;
$failed++ for grep { my $name = $_; !grep { $_ eq $name } $result->failed } keys %bad;
printf "%d passed, %d failed\n", scalar $result->passed, $failed;
exit($failed ? 1 : 0);
