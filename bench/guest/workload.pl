# workload.pl - hashes, regular expressions, sorting, strings
# SPDX-License-Identifier: GPL-2.0-or-later
my %h;
my $s = 0;
for my $i (1 .. 1000000) {
    $h{$i % 5003} += $i;
    $s += length("k$i") if "abc$i" =~ /c(\d+)7$/;
}
my @a = sort { $h{$a} <=> $h{$b} } keys %h;
my $t = join ',', map { $_ * 2 } @a;
for my $k (1 .. 200) {
    my $u = $t;
    $u =~ s/(\d+)/$1+1/ge;
    $s += length $u;
}
print "$s\n";
