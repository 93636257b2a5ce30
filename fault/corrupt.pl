# corrupt.pl flips bytes in values that etcd's database file keeps, and gives them back.
#
#   perl corrupt.pl flip DATABASE NOTES SEED   flips bits of a byte in up to three values
#   perl corrupt.pl restore DATABASE NOTES     gives every byte back, wherever it is by now
#   perl corrupt.pl show DATABASE NOTES        prints what each of them is, and where
#
# The file is bbolt's: a tree of pages of which a commit writes new ones. Nothing in it is
# a checksum of data. The bucket "key" maps a revision to a mvccpb.KeyValue. A byte is
# noted by its revision and its place in the value, which last when pages move:
# "revision place old new", in hexadecimal and decimal numbers.
use strict;
use warnings;
use Fcntl;
use IO::Handle;

my ($do, $database, $notes, $seed) = @ARGV;
sysopen(my $db, $database, $do eq "show" ? O_RDONLY : O_RDWR) or die "$database: $!\n";
binmode $db;

sub bytes {
  my ($at, $length) = @_;
  sysseek($db, $at, 0) && sysread($db, my $read, $length) == $length or die "$database ends before $at + $length\n";
  return $read;
}

# The newer of the two meta pages counts, if it is whole: FNV-1a tells.
sub meta {
  my ($at) = @_;
  my ($magic, $version, $size, undef, $root, undef, undef, undef, $commit, $sum) = unpack("L4Q6", bytes($at, 64));
  use integer;
  my $hash = -3750763034362895579;
  $hash = ($hash ^ $_) * 1099511628211 for unpack("C56", bytes($at, 56));
  return $magic == 0xED0CDAED && $version == 2 && $hash == unpack("q", pack("Q", $sum)) ? [$size, $root, $commit] : undef;
}

my $size = unpack("x8L", bytes(16, 12)) || 4096;
my ($meta) = sort { $b->[2] <=> $a->[2] } grep { $_ } meta(16), meta($size + 16);
die "$database has no whole meta page\n" unless $meta;

# leaves calls $each with key, place and length of the value of everything below a page.
sub leaves {
  my ($page, $each) = @_;
  my (undef, $flags, $count) = unpack("QS2", bytes($page, 12));
  for my $n (0 .. $count - 1) {
    my $element = $page + 16 + 16 * $n;
    if ($flags & 1) {
      my (undef, undef, $below) = unpack("L2Q", bytes($element, 16));
      leaves($below * $size, $each);
    } else {
      my (undef, $at, $key, $value) = unpack("L4", bytes($element, 16));
      $each->(bytes($element + $at, $key), $element + $at + $key, $value);
    }
  }
}

# varint reads a number of protobuf at a place of a string, which it moves on.
sub varint {
  my ($from, $at) = @_;
  my ($number, $shift) = (0, 0);
  while (1) {
    my $byte = ord substr($from, $at->[0]++, 1);
    $number |= ($byte & 127) << $shift;
    return $number if $byte < 128;
    $shift += 7;
  }
}

# fields finds the key and the value of a KeyValue: [place, length] of fields 1 and 5.
sub fields {
  my ($kv) = @_;
  my ($at, %found) = [0];
  while ($at->[0] < length $kv) {
    my $tag = varint($kv, $at);
    my $number = varint($kv, $at);
    next if ($tag & 7) != 2;
    $found{$tag >> 3} = [$at->[0], $number];
    $at->[0] += $number;
  }
  return @found{1, 5};
}

my %values; # of etcd: revision => [place in the file, length]
leaves($meta->[1] * $size, sub {
  my ($bucket, $at, $length) = @_;
  return if $bucket ne "key";
  my $root = unpack("Q", bytes($at, 8));
  # A small bucket has its only page in the place of a root.
  leaves($root ? $root * $size : $at + 16, sub { $values{unpack("H*", $_[0])} = [@_[1, 2]] });
});

sub put {
  my ($at, $byte) = @_;
  sysseek($db, $at, 0) && syswrite($db, chr $byte) == 1 or die "write $database at $at: $!\n";
}

if ($do eq "flip") {
  my %newest; # key => revision; what is older, etcd may have forgotten
  for my $revision (sort keys %values) {
    my $kv = bytes(@{$values{$revision}});
    my ($key, $value) = fields($kv);
    next unless $key;
    my $name = substr($kv, $key->[0], $key->[1]);
    delete $newest{$name};
    $newest{$name} = [$revision, @$value] if $value && $value->[1] && length($revision) == 34;
  }
  my @all = map { $newest{$_} } sort keys %newest;
  die "$database has no value that could be corrupted\n" unless @all;
  srand($seed);
  open(my $out, ">", "$notes.part") or die "$notes.part: $!\n";
  my @bytes;
  while (@all && @bytes < 3) {
    my ($revision, $from, $length) = @{splice(@all, int rand @all, 1)};
    my $at = $from + int rand $length;
    my $old = ord bytes($values{$revision}[0] + $at, 1);
    push @bytes, [$values{$revision}[0] + $at, $old ^ (1 + int rand 255)];
    print $out "$revision $at $old $bytes[-1][1]\n" or die "$notes.part: $!\n";
  }
  $out->flush && $out->sync && close($out) && rename("$notes.part", $notes) or die "$notes: $!\n";
  put(@$_) for @bytes;
  $db->sync;
  exit;
}

open(my $in, "<", $notes) or die "$notes: $!\n";
while (<$in>) {
  my ($revision, $at, $old, $new) = split;
  my $value = $values{$revision};
  my $now = $value && $at < $value->[1] ? ord bytes($value->[0] + $at, 1) : -1;
  if ($do eq "restore") {
    put($value->[0] + $at, $old) if $now == $new;
  } else {
    my $what = $now < 0 ? "gone" : $now == $new ? "flipped" : $now == $old ? "whole" : "other";
    print "$what $revision ", $value ? $value->[0] + $at : 0, "\n";
  }
}
$db->sync if $do eq "restore";
