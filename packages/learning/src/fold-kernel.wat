;; The inner loops of the fold, for 32-bit floats with SIMD (four lanes).
;;
;; acc[i] = acc[i] + weight * x[i], rounded after the product and after the sum: never a fused multiply-add, which rounds once
;; and would give other bits than the JavaScript fallback. All counts are elements; the caller keeps them multiples of 16.
;;
;; Functions that sum take acc as -0 when $anew is 1, whatever it holds, and give 1 when a sum they stored is NaN or infinite
;; (all exponent bits set: $most, the largest exponents seen, reaches $mask), else 0. Both in the same pass: a pass of its own
;; over acc costs an eighth of the work of eight sources.
(module
  (import "lantern" "memory" (memory 1))

  ;; acc[0..count) = acc[0..count) + weight * x[0..count)
  (func (export "multiplyAdd") (param $anew i32) (param $acc i32) (param $x i32) (param $count i32) (param $weight f32)
    (result i32)
    (local $end i32) (local $w v128)
    (local $mask v128) (local $keep v128) (local $zero v128) (local $sum v128) (local $most v128)
    (local.set $w (f32x4.splat (local.get $weight)))
    (local.set $mask (i32x4.splat (i32.const 0x7f800000)))
    (local.set $keep (i32x4.splat (i32.sub (local.get $anew) (i32.const 1))))
    (local.set $zero (i32x4.splat (i32.shl (local.get $anew) (i32.const 31))))
    (local.set $end (i32.add (local.get $acc) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $acc) (local.get $end)))
        (local.set $sum
          (f32x4.add
            (v128.or (v128.and (v128.load (local.get $acc)) (local.get $keep)) (local.get $zero))
            (f32x4.mul (v128.load (local.get $x)) (local.get $w))))
        (v128.store (local.get $acc) (local.get $sum))
        (local.set $most (i32x4.max_s (local.get $most) (v128.and (local.get $sum) (local.get $mask))))
        (local.set $sum
          (f32x4.add
            (v128.or (v128.and (v128.load offset=16 (local.get $acc)) (local.get $keep)) (local.get $zero))
            (f32x4.mul (v128.load offset=16 (local.get $x)) (local.get $w))))
        (v128.store offset=16 (local.get $acc) (local.get $sum))
        (local.set $most (i32x4.max_s (local.get $most) (v128.and (local.get $sum) (local.get $mask))))
        (local.set $sum
          (f32x4.add
            (v128.or (v128.and (v128.load offset=32 (local.get $acc)) (local.get $keep)) (local.get $zero))
            (f32x4.mul (v128.load offset=32 (local.get $x)) (local.get $w))))
        (v128.store offset=32 (local.get $acc) (local.get $sum))
        (local.set $most (i32x4.max_s (local.get $most) (v128.and (local.get $sum) (local.get $mask))))
        (local.set $sum
          (f32x4.add
            (v128.or (v128.and (v128.load offset=48 (local.get $acc)) (local.get $keep)) (local.get $zero))
            (f32x4.mul (v128.load offset=48 (local.get $x)) (local.get $w))))
        (v128.store offset=48 (local.get $acc) (local.get $sum))
        (local.set $most (i32x4.max_s (local.get $most) (v128.and (local.get $sum) (local.get $mask))))
        (local.set $acc (i32.add (local.get $acc) (i32.const 64)))
        (local.set $x (i32.add (local.get $x) (i32.const 64)))
        (br $next)))
    (v128.any_true (i32x4.eq (local.get $most) (local.get $mask))))

  ;; The same four times in a row, for blocks x0, x0 + stride, x0 + 2 stride, x0 + 3 stride (bytes): acc is read and written once.
  (func (export "multiplyAddFour") (param $anew i32) (param $acc i32) (param $x0 i32) (param $stride i32) (param $count i32)
    (param $w0 f32) (param $w1 f32) (param $w2 f32) (param $w3 f32) (result i32)
    (local $end i32) (local $x1 i32) (local $x2 i32) (local $x3 i32)
    (local $v0 v128) (local $v1 v128) (local $v2 v128) (local $v3 v128)
    (local $mask v128) (local $keep v128) (local $zero v128) (local $sum v128) (local $most v128)
    (local.set $v0 (f32x4.splat (local.get $w0)))
    (local.set $v1 (f32x4.splat (local.get $w1)))
    (local.set $v2 (f32x4.splat (local.get $w2)))
    (local.set $v3 (f32x4.splat (local.get $w3)))
    (local.set $x1 (i32.add (local.get $x0) (local.get $stride)))
    (local.set $x2 (i32.add (local.get $x1) (local.get $stride)))
    (local.set $x3 (i32.add (local.get $x2) (local.get $stride)))
    (local.set $mask (i32x4.splat (i32.const 0x7f800000)))
    (local.set $keep (i32x4.splat (i32.sub (local.get $anew) (i32.const 1))))
    (local.set $zero (i32x4.splat (i32.shl (local.get $anew) (i32.const 31))))
    (local.set $end (i32.add (local.get $acc) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $acc) (local.get $end)))
        (local.set $sum
          (f32x4.add
            (f32x4.add
              (f32x4.add
                (f32x4.add
                  (v128.or (v128.and (v128.load (local.get $acc)) (local.get $keep)) (local.get $zero))
                  (f32x4.mul (v128.load (local.get $x0)) (local.get $v0)))
                (f32x4.mul (v128.load (local.get $x1)) (local.get $v1)))
              (f32x4.mul (v128.load (local.get $x2)) (local.get $v2)))
            (f32x4.mul (v128.load (local.get $x3)) (local.get $v3))))
        (v128.store (local.get $acc) (local.get $sum))
        (local.set $most (i32x4.max_s (local.get $most) (v128.and (local.get $sum) (local.get $mask))))
        (local.set $sum
          (f32x4.add
            (f32x4.add
              (f32x4.add
                (f32x4.add
                  (v128.or (v128.and (v128.load offset=16 (local.get $acc)) (local.get $keep)) (local.get $zero))
                  (f32x4.mul (v128.load offset=16 (local.get $x0)) (local.get $v0)))
                (f32x4.mul (v128.load offset=16 (local.get $x1)) (local.get $v1)))
              (f32x4.mul (v128.load offset=16 (local.get $x2)) (local.get $v2)))
            (f32x4.mul (v128.load offset=16 (local.get $x3)) (local.get $v3))))
        (v128.store offset=16 (local.get $acc) (local.get $sum))
        (local.set $most (i32x4.max_s (local.get $most) (v128.and (local.get $sum) (local.get $mask))))
        (local.set $acc (i32.add (local.get $acc) (i32.const 32)))
        (local.set $x0 (i32.add (local.get $x0) (i32.const 32)))
        (local.set $x1 (i32.add (local.get $x1) (i32.const 32)))
        (local.set $x2 (i32.add (local.get $x2) (i32.const 32)))
        (local.set $x3 (i32.add (local.get $x3) (i32.const 32)))
        (br $next)))
    (v128.any_true (i32x4.eq (local.get $most) (local.get $mask))))

  ;; 1 when an element of x[0..count) is NaN or infinite (all exponent bits set), else 0
  (func (export "hasNonFinite") (param $x i32) (param $count i32) (result i32)
    (local $end i32) (local $mask v128) (local $found v128)
    (local.set $mask (i32x4.splat (i32.const 0x7f800000)))
    (local.set $end (i32.add (local.get $x) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $x) (local.get $end)))
        (local.set $found
          (v128.or (local.get $found)
            (v128.or
              (v128.or
                (i32x4.eq (v128.and (v128.load (local.get $x)) (local.get $mask)) (local.get $mask))
                (i32x4.eq (v128.and (v128.load offset=16 (local.get $x)) (local.get $mask)) (local.get $mask)))
              (v128.or
                (i32x4.eq (v128.and (v128.load offset=32 (local.get $x)) (local.get $mask)) (local.get $mask))
                (i32x4.eq (v128.and (v128.load offset=48 (local.get $x)) (local.get $mask)) (local.get $mask))))))
        (local.set $x (i32.add (local.get $x) (i32.const 64)))
        (br $next)))
    (v128.any_true (local.get $found))))
