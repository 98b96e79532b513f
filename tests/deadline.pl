#!/usr/bin/perl
# Runs a command that prints TAP in a session of its own, and sees that nothing of it outlives it: what is
# left in the session is killed when the command has ended, when this is told to end, and when SECONDS are
# over, which is one failed test.
#
#     deadline.pl SECONDS [NAME=VALUE...] COMMAND...
use strict;
use warnings;
use POSIX ();

my ($seconds, @command) = @ARGV;
my $session = fork // die "fork: $!\n";
if ($session == 0) {
    POSIX::setsid();
    exec "env", @command or die "env: $!\n";
}

sub end_session { system 'pkill', "-$_[0]", '-s', $session }

$SIG{$_} = sub { end_session('TERM'); exit 1 } for qw(INT TERM HUP);
$SIG{ALRM} = sub {
    $| = 1;
    print "\nnot ok - @command did not end within $seconds s\n";
    end_session('TERM'); # a script removes its folder, if it still can
    sleep 5;
    end_session('KILL');
    exit 1;
};
alarm $seconds;
waitpid $session, 0;
my $status = $?;
end_session('KILL');
exit($status & 127 ? 128 + ($status & 127) : $status >> 8);
