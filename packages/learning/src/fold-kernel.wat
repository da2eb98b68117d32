;; The inner loops of the fold, for 32-bit floats with SIMD (four lanes).
;;
;; acc[i] = acc[i] + weight * x[i], rounded after the product and after the sum: never a fused multiply-add, which rounds once
;; and would give other bits than the JavaScript fallback. All counts are elements; the caller keeps them multiples of 16.
(module
  (import "lantern" "memory" (memory 1))

  ;; acc[0..count) = acc[0..count) + weight * x[0..count)
  (func (export "multiplyAdd") (param $acc i32) (param $x i32) (param $count i32) (param $weight f32)
    (local $end i32) (local $w v128)
    (local.set $w (f32x4.splat (local.get $weight)))
    (local.set $end (i32.add (local.get $acc) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $acc) (local.get $end)))
        (v128.store (local.get $acc)
          (f32x4.add (v128.load (local.get $acc)) (f32x4.mul (v128.load (local.get $x)) (local.get $w))))
        (v128.store offset=16 (local.get $acc)
          (f32x4.add (v128.load offset=16 (local.get $acc)) (f32x4.mul (v128.load offset=16 (local.get $x)) (local.get $w))))
        (v128.store offset=32 (local.get $acc)
          (f32x4.add (v128.load offset=32 (local.get $acc)) (f32x4.mul (v128.load offset=32 (local.get $x)) (local.get $w))))
        (v128.store offset=48 (local.get $acc)
          (f32x4.add (v128.load offset=48 (local.get $acc)) (f32x4.mul (v128.load offset=48 (local.get $x)) (local.get $w))))
        (local.set $acc (i32.add (local.get $acc) (i32.const 64)))
        (local.set $x (i32.add (local.get $x) (i32.const 64)))
        (br $next))))

  ;; The same four times in a row, for blocks x0, x0 + stride, x0 + 2 stride, x0 + 3 stride (bytes): acc is read and written once.
  (func (export "multiplyAddFour") (param $acc i32) (param $x0 i32) (param $stride i32) (param $count i32)
    (param $w0 f32) (param $w1 f32) (param $w2 f32) (param $w3 f32)
    (local $end i32) (local $x1 i32) (local $x2 i32) (local $x3 i32)
    (local $v0 v128) (local $v1 v128) (local $v2 v128) (local $v3 v128)
    (local.set $v0 (f32x4.splat (local.get $w0)))
    (local.set $v1 (f32x4.splat (local.get $w1)))
    (local.set $v2 (f32x4.splat (local.get $w2)))
    (local.set $v3 (f32x4.splat (local.get $w3)))
    (local.set $x1 (i32.add (local.get $x0) (local.get $stride)))
    (local.set $x2 (i32.add (local.get $x1) (local.get $stride)))
    (local.set $x3 (i32.add (local.get $x2) (local.get $stride)))
    (local.set $end (i32.add (local.get $acc) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $acc) (local.get $end)))
        (v128.store (local.get $acc)
          (f32x4.add
            (f32x4.add
              (f32x4.add
                (f32x4.add (v128.load (local.get $acc))
                  (f32x4.mul (v128.load (local.get $x0)) (local.get $v0)))
                (f32x4.mul (v128.load (local.get $x1)) (local.get $v1)))
              (f32x4.mul (v128.load (local.get $x2)) (local.get $v2)))
            (f32x4.mul (v128.load (local.get $x3)) (local.get $v3))))
        (v128.store offset=16 (local.get $acc)
          (f32x4.add
            (f32x4.add
              (f32x4.add
                (f32x4.add (v128.load offset=16 (local.get $acc))
                  (f32x4.mul (v128.load offset=16 (local.get $x0)) (local.get $v0)))
                (f32x4.mul (v128.load offset=16 (local.get $x1)) (local.get $v1)))
              (f32x4.mul (v128.load offset=16 (local.get $x2)) (local.get $v2)))
            (f32x4.mul (v128.load offset=16 (local.get $x3)) (local.get $v3))))
        (local.set $acc (i32.add (local.get $acc) (i32.const 32)))
        (local.set $x0 (i32.add (local.get $x0) (i32.const 32)))
        (local.set $x1 (i32.add (local.get $x1) (i32.const 32)))
        (local.set $x2 (i32.add (local.get $x2) (i32.const 32)))
        (local.set $x3 (i32.add (local.get $x3) (i32.const 32)))
        (br $next))))

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
