package twitterflex.sandbox;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;

/**
 * The bytes of a file, to be read as often as wanted. Large ones are made as they are read, or were counted and hashed
 * as they came.
 */
public final class Content {

    /** Of a larger file that was uploaded only the length and the hash are known. */
    static final int MOST_KEPT = 8 << 20;
    private static final byte[] NOISE = new byte[65_521]; // a prime: no two blocks of a generated file are alike

    static {
        new Random(1).nextBytes(NOISE);
    }

    private final long length;
    private final Supplier<InputStream> source;
    private String sha256;

    private Content(long length, String sha256, Supplier<InputStream> source) {
        this.length = length;
        this.sha256 = sha256;
        this.source = source;
    }

    public static Content of(byte[] bytes) {
        return new Content(bytes.length, "", () -> new ByteArrayInputStream(bytes));
    }

    /** So many bytes, the same at every reading, of which these are the first. */
    public static Content generated(byte[] beginning, long length) {
        return new Content(length, "", () -> new InputStream() {
            private long at;

            @Override
            public int read() {
                byte[] one = new byte[1];
                return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
            }

            @Override
            public int read(byte[] into, int from, int most) {
                if (at >= length) {
                    return -1;
                }
                boolean first = at < beginning.length;
                byte[] block = first ? beginning : NOISE;
                int start = first ? (int) at : (int) (at % NOISE.length);
                int count = (int) Math.min(Math.min(most, block.length - start), length - at);
                System.arraycopy(block, start, into, from, count);
                at += count;
                return count;
            }
        });
    }

    /** The same bytes; {@code taken} counts those that are read. */
    Content counted(AtomicLong taken) {
        return new Content(length, sha256, () -> new FilterInputStream(open()) {
            @Override
            public int read() throws IOException {
                byte[] one = new byte[1];
                return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
            }

            @Override
            public int read(byte[] into, int from, int most) throws IOException {
                int count = super.read(into, from, most);
                taken.addAndGet(Math.max(0, count));
                return count;
            }
        });
    }

    public long length() {
        return length;
    }

    /** Whether the bytes can still be had. */
    public boolean kept() {
        return source != null;
    }

    /** Throws {@link IllegalStateException} if the bytes were not kept. */
    public InputStream open() {
        if (!kept()) {
            throw new IllegalStateException("Of this file only the length and the hash were kept.");
        }
        return source.get();
    }

    /** The first bytes, at most so many; none if they were not kept. */
    byte[] head(int most) {
        try (InputStream in = kept() ? open() : InputStream.nullInputStream()) {
            return in.readNBytes(most);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** In hexadecimal digits, lower case. */
    public synchronized String sha256() {
        if (sha256.isEmpty()) {
            Sink sink = new Sink();
            try (InputStream in = open()) {
                in.transferTo(sink);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            sha256 = sink.content().sha256;
        }
        return sha256;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Content content && content.length == length && content.sha256().equals(sha256());
    }

    @Override
    public int hashCode() {
        return Long.hashCode(length);
    }

    @Override
    public String toString() {
        return length + " bytes, sha256 " + sha256();
    }

    /** Counts and hashes what is written to it, and keeps it while it is small. */
    static final class Sink extends OutputStream {

        private final MessageDigest digest = sha256Digest();
        private final ByteArrayOutputStream kept = new ByteArrayOutputStream();
        private long length;

        @Override
        public void write(int one) {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int from, int count) {
            digest.update(bytes, from, count);
            length += count;
            if (length <= MOST_KEPT) {
                kept.write(bytes, from, count);
            }
        }

        long length() {
            return length;
        }

        /** What was written; nothing more may be. */
        Content content() {
            String sha256 = HexFormat.of().formatHex(digest.digest());
            byte[] bytes = kept.toByteArray();
            return new Content(length, sha256, length > MOST_KEPT ? null : () -> new ByteArrayInputStream(bytes));
        }

        private static MessageDigest sha256Digest() {
            try {
                return MessageDigest.getInstance("SHA-256");
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException("every Java has SHA-256", e);
            }
        }
    }
}
